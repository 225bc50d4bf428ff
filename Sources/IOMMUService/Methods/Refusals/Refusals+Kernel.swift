/// What comes only where a kernel stands behind the daemon.
extension Refusals {
    /// Any call that the kernel carries out.
    static let kernel = Refusals(
        tables,
        Refusals(.ENOTTY, .ioctlMissing, "The kernel does not have the call at all; `data.ioctl`."),
        Refusals(.EOPNOTSUPP, .kernelTooOld, "The kernel has the call, but not with what was asked for."),
        Refusals(.EIO, .kernelRefused, "The kernel refuses, and the daemon does not know why: `data.kernel_errno`."))

    /// The session's iommufd is opened by the first call that needs it.
    static let iommufd = Refusals(
        descriptors,
        Refusals(.EBUSY, .delegated, "The session's iommufd has been handed out by fd.export."),
        Refusals(.ENODEV, .noIOMMUFD, "The kernel has no /dev/iommu."),
        Refusals(.EPERM, .nodeForbidden, "The daemon may not open /dev/iommu, or the node of the device."))

    /// An iommufd with devices is handed to somebody else.
    static let handingOver = Refusals(
        iommufd, deviceName, room,
        Refusals(.EBUSY, .sessionNotEmpty, "The session holds objects of its own."),
        Refusals(.EBUSY, .groupOwnedElsewhere, "A device, or one of its group, belongs to another session."))

    /// The iommufd of a named session is opened, and kept, before anything is in it.
    static let opening = Refusals(
        descriptors, stored, room,
        Refusals(.ENODEV, .noIOMMUFD, "The kernel has no /dev/iommu."),
        Refusals(.EPERM, .nodeForbidden, "The daemon may not open /dev/iommu."))

    /// A device of the machine.
    static let binding = Refusals(
        Refusals(.EPERM, .msiNotIsolated, "The device could raise the interrupts of others."),
        Refusals(.ENODEV, .noVFIODriver, "No vfio driver has the device."),
        Refusals(.ENODEV, .deviceRemoved, "The device is just being unplugged."))
}
