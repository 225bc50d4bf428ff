import Durability
import LinuxIO
import Systemd

/// Where what outlives the daemon is found and kept.
package struct StoredState {
    /// The journal's; nil: there can be none.
    var directory: StateDirectory?
    /// Descriptors that the service manager keeps; 0: none.
    var capacity = 0
    /// What it has kept, by name.
    var passed: [String: SharedDescriptor] = [:]

    /// Beside FileDescriptorStoreMax= in the unit: `$FDSTORE` is only there from systemd 254 on.
    static let variable = "IOMMUD_DESCRIPTOR_STORE"

    /// What the service manager says about its store.
    static func capacity(environment: (String) -> String? = SocketLocation.variable) -> Int {
        guard environment("NOTIFY_SOCKET") != nil else { return 0 }
        return (environment("FDSTORE") ?? environment(variable)).flatMap { Int($0) }.map { max(0, $0) } ?? 0
    }
}
