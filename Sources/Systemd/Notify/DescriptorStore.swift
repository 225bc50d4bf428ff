import Glibc
import LinuxIO

/// The service manager's file descriptor store: descriptors that outlive this process and come back, by name, at its
/// next start (`FileDescriptorStoreMax=` in the unit; see ``PassedDescriptor``).
///
/// Two facts of PID 1 matter to users. It keeps one descriptor per open file: a second store of the same open file is
/// dropped. And it closes what it stores when `poll` reports an error or hang-up, unless told not to.
public struct DescriptorStore<Notifier: ServiceNotifying>: Sendable {
    private let notifier: Notifier

    /// Creates a store reached through `notifier`.
    public init(notifier: Notifier) {
        self.notifier = notifier
    }

    /// Most descriptors one message can carry (the kernel's SCM_MAX_FD).
    public static var descriptorsPerMessage: Int { 253 }

    /// Puts copies of `descriptors` in the store, all under one name.
    ///
    /// - Parameters:
    ///   - descriptors: open descriptors; they stay open here.
    ///   - name: see ``isValidName(_:)``.
    ///   - keepOnHangup: keep them when `poll` on them reports an error or hang-up (`FDPOLL=0`).
    /// - Returns: whether a service manager was there. It may still drop descriptors when its store is full; call
    ///   ``ServiceNotifying/barrier(timeoutMicroseconds:)`` to know that it has looked.
    /// - Throws: EINVAL for a bad name, else what the kernel says.
    @discardableResult
    public func store(_ descriptors: [CInt], name: String, keepOnHangup: Bool = false) throws(SystemError) -> Bool {
        var message = "FDSTORE=1\nFDNAME=" + (try Self.validated(name))
        if keepOnHangup { message += "\nFDPOLL=0" }
        var received = false
        var rest = descriptors[...]
        while !rest.isEmpty {
            let part = rest.prefix(Self.descriptorsPerMessage)
            received = try notifier.send(message, descriptors: Array(part))
            rest = rest.dropFirst(part.count)
        }
        return received
    }

    /// Removes every descriptor stored under `name`; a name that is not there is no error.
    @discardableResult
    public func remove(name: String) throws(SystemError) -> Bool {
        try notifier.send("FDSTOREREMOVE=1\nFDNAME=" + (try Self.validated(name)), descriptors: [])
    }

    /// Whether systemd accepts `name`: 1 to 255 printable ASCII characters, no colon (it separates `$LISTEN_FDNAMES`).
    public static func isValidName(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count) && name.utf8.allSatisfy { (0x20...0x7e).contains($0) && $0 != 0x3a }
    }

    private static func validated(_ name: String) throws(SystemError) -> String {
        guard isValidName(name) else {
            throw SystemError(errno: EINVAL, "use “\(name)” as the name of a stored descriptor")
        }
        return name
    }
}
