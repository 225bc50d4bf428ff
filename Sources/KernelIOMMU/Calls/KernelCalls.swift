import CLinux
import Glibc
import LinuxIO

/// The kernel as this module uses it. Called on the loop's thread and on workers.
package protocol KernelCalls: Sendable {
    /// Opens `/dev/iommu`, or the node of a device; closed on exec.
    func open(_ path: String) throws(SystemError) -> Descriptor
    /// ioctl(2).
    ///
    /// - Parameters:
    ///   - number: as in ``IOMMUFD`` and ``VFIO``.
    ///   - argument: the structure, its first word the size.
    /// - Returns: 0 or a positive errno.
    func control(_ descriptor: Int32, _ number: UInt, _ argument: UnsafeMutableRawPointer) -> Int32
}

/// The running kernel.
package struct LinuxKernel: KernelCalls {
    /// There is one.
    package init() {}

    /// open(2) for reading and writing, closed on exec.
    package func open(_ path: String) throws(SystemError) -> Descriptor {
        try Descriptor(opening: path, O_RDWR)
    }

    /// ioctl(2), again if a signal came.
    package func control(_ descriptor: Int32, _ number: UInt, _ argument: UnsafeMutableRawPointer) -> Int32 {
        -clinux_ioctl(descriptor, number, argument)
    }
}

/// An ioctl that failed.
package struct KernelFailure: Error, Sendable {
    /// Positive; any that the kernel can say.
    package let errno: Int32
    /// Which ioctl it was.
    package let call: StaticString
    /// The first release with that ioctl.
    package let since: KernelVersion

    /// A failure of a call.
    package init<Structure>(_ errno: Int32, of call: KernelCall<Structure>) {
        self.errno = errno
        self.call = call.name
        since = call.since
    }
}

extension KernelCalls {
    /// Makes a call; what the kernel writes is in `argument` also if it fails.
    package func perform<Structure>(
        _ call: KernelCall<Structure>, on descriptor: Int32, _ argument: inout Structure
    ) throws(KernelFailure) {
        let errno = withUnsafeMutableBytes(of: &argument) { bytes -> Int32 in
            guard let start = bytes.baseAddress else { return EFAULT }
            bytes.storeBytes(of: call.size, as: UInt32.self)
            return control(descriptor, call.number, start)
        }
        if errno != 0 { throw KernelFailure(errno, of: call) }
    }
}
