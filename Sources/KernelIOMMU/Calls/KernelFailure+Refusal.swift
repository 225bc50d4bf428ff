import IOMMU
import LinuxIO

extension KernelFailure {
    /// What a client is told: first what `meaning` finds in the errno, then what an errno means everywhere, else that
    /// the kernel refuses and nothing here knows why.
    func refusal(_ meaning: (Errno) -> IOMMUError? = { _ in nil }) -> IOMMUError {
        if let known = Errno(rawValue: errno), let error = meaning(known) { return error }
        switch Errno(rawValue: errno) {
        case .ENOTTY:
            return IOMMUError(
                .ENOTTY, .ioctlMissing, "this kernel does not have \(call)",
                hint: "it came with \(since)", ["ioctl": .text("\(call)")])
        case .E2BIG:
            return IOMMUError(
                .EOPNOTSUPP, .kernelTooOld, "this kernel's \(call) does not know all that was asked for",
                hint: "ask for less, or boot a newer kernel", ["ioctl": .text("\(call)")])
        case .ENOMEM:
            return IOMMUError(
                .ENOMEM, .noTableMemory, "the kernel has no memory left for \(call), or may not pin any more",
                hint: "raise LimitMEMLOCK of the service", ["ioctl": .text("\(call)")])
        default:
            return unexplained
        }
    }

    /// An EIO that names the kernel's errno, which could mean anything.
    private var unexplained: IOMMUError {
        let name = Errno.name(of: errno)
        return IOMMUError(
            .EIO, .kernelRefused, "the kernel refuses \(call): \(name)", hint: "its log may say why",
            ["ioctl": .text("\(call)"), "kernel_errno": .text(name)])
    }
}
