import LinuxIO

/// ``Capability/descriptorExport``: devices that another process drives through descriptors of its own.
package protocol DescriptorExport: AnyObject {
    /// `fd.export`: the iommufd, then a vfio cdev that is opened and not bound for each name, in order.
    ///
    /// - Throws: `ENODEV` for an unknown name, `EBUSY` for a device that somebody holds or a context that is not
    ///   empty, `EPERM` where the kernel refuses, `EMFILE`.
    func exportContext(devices names: [String]) throws(IOMMUError) -> [SharedDescriptor]
    /// `fd.offer`: an iommufd that somebody may take later, with these devices held for it.
    ///
    /// - Throws: as ``exportContext(devices:)``.
    func offerContext(devices names: [String]) throws(IOMMUError) -> any ContextOffer
    /// `device.export`: the bound cdev of a device. `ENOENT`, `EMFILE`.
    func exportDevice(_ device: ObjectID) throws(IOMMUError) -> Descriptor
    /// `device.unbind` with `force`, of a device that has been handed out: detached and blocked, and bound until the
    /// last copy of its descriptor is closed. `ENOENT`.
    func beginForcedUnbind(device: ObjectID) throws(IOMMUError) -> Answer<Void>
}

/// An iommufd that waits for its taker. Its context goes on as before meanwhile, and is given up when it is taken.
package protocol ContextOffer: AnyObject {
    /// The iommufd, empty.
    var iommufd: SharedDescriptor { get }
    /// Whether it can still be taken: nothing has been made in the context, and nothing else of it handed out.
    var isOpen: Bool { get }
    /// It has been taken: the context is delegated from now on. False where it could not be, which changes nothing.
    func accept() -> Bool
    /// Nobody takes it: the devices are free again. After ``accept()`` it does nothing.
    func withdraw()
}
