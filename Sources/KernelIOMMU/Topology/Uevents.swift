import CLinux
import Glibc
import LinuxIO

/// The kernel's messages about devices that come and go.
package final class Uevents {
    private static let messageBytes = 8192
    /// Of what is about devices that are listed, their drivers or their nodes.
    private static let subsystems: Set<String> = ["pci", "platform", "vfio-dev", "iommu", "uacce", "mdev", "drivers"]

    private let descriptor: Descriptor
    private var watch: DescriptorWatch?

    /// - Parameter changed: called when something may have changed, once for all that has come by then.
    /// - Throws: where the process may not open such a socket (`AF_NETLINK`).
    package init(_ services: any LoopServices, changed: @escaping () -> Void) throws(SystemError) {
        descriptor = try Descriptor(opened: clinux_uevent_socket(), "listen to the kernel's uevents")
        watch = try services.watch(descriptor) { [unowned self] in if drain() { changed() } }
    }

    /// Reads all there is. - Returns: whether any of it, or something that was lost, is of interest.
    private func drain() -> Bool {
        var isOfInterest = false
        withUnsafeTemporaryAllocation(byteCount: Self.messageBytes, alignment: 1) { buffer in
            while true {
                let count = clinux_uevent_receive(descriptor.number, buffer.baseAddress, buffer.count)
                if count == -Int(EAGAIN) { return }
                if count == -Int(ENOBUFS) {
                    isOfInterest = true
                } else if count < 0 {
                    return
                } else if Self.isOfInterest(UnsafeRawBufferPointer(rebasing: buffer[..<count])) {
                    isOfInterest = true
                }
            }
        }
        return isOfInterest
    }

    /// "add@/devices/…", then "KEY=value" each ended by a zero byte.
    static func isOfInterest(_ message: UnsafeRawBufferPointer) -> Bool {
        for field in message.split(separator: 0) {
            let text = String(decoding: field, as: UTF8.self)
            if text.hasPrefix("SUBSYSTEM=") { return subsystems.contains(String(text.dropFirst("SUBSYSTEM=".count))) }
        }
        return false
    }
}
