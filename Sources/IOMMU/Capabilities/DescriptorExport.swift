import LinuxIO

/// ``Capability/descriptorExport``: devices that another process drives through descriptors of its own.
package protocol DescriptorExport: AnyObject {
    /// `fd.export`: the iommufd, then a vfio cdev that is opened and not bound for each name, in order.
    ///
    /// - Throws: `ENODEV` for an unknown name, `EBUSY` for a device that somebody holds or a context that is not
    ///   empty, `EPERM` where the kernel refuses, `EMFILE`.
    func exportContext(devices names: [String]) throws(IOMMUError) -> [SharedDescriptor]
    /// `device.export`: the bound cdev of a device. `ENOENT`, `EMFILE`.
    func exportDevice(_ device: ObjectID) throws(IOMMUError) -> Descriptor
    /// `device.unbind` with `force`, of a device that has been handed out: detached and blocked, and bound until the
    /// last copy of its descriptor is closed. `ENOENT`.
    func beginForcedUnbind(device: ObjectID) throws(IOMMUError) -> Answer<Void>
}
