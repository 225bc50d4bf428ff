/// Reasons: a kernel below, and what of it the daemon may use.
extension Reason {
    /// The kernel does not have the ioctl at all.
    package static let ioctlMissing = Reason("ioctl_missing")
    /// The kernel has the ioctl, but not with what was asked for.
    package static let kernelTooOld = Reason("kernel_too_old")
    /// The kernel refuses, and nothing that the daemon knows says why.
    package static let kernelRefused = Reason("kernel_refused")
    /// The session's iommufd has been handed out.
    package static let delegated = Reason("delegated")
    /// A descriptor is of no process.
    package static let notAPIDFD = Reason("not_a_pidfd")
    /// There is no place for the socket of an offer.
    package static let noOfferDirectory = Reason("no_offer_directory")
    /// The descriptor of the device has been handed out.
    package static let exported = Reason("exported")
    /// The kernel maps pages of whoever calls it, and that is the daemon.
    package static let callersMemoryOnly = Reason("callers_memory_only")
    /// The kernel has no iommufd.
    package static let noIOMMUFD = Reason("no_iommufd")
    /// The daemon may not open the node.
    package static let nodeForbidden = Reason("node_forbidden")
    /// No vfio driver has the device.
    package static let noVFIODriver = Reason("no_vfio_driver")
    /// The device could raise the interrupts of others.
    package static let msiNotIsolated = Reason("msi_not_isolated")
}
