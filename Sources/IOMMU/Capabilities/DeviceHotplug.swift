/// ``Capability/deviceHotplug``: devices that come and go by a call.
package protocol DeviceHotplug: AnyObject {
    /// `device.add`.
    ///
    /// - Throws: `EEXIST` for a name or StreamID that is taken, `ENOENT` for an unknown SMMU, `EINVAL` for what its
    ///   SMMU cannot do, `ENOMEM`.
    func addDevice(_ description: DeviceDescription) throws(IOMMUError)
    /// `device.remove`, of a device that may be in use; `ENODEV` for an unknown name.
    func removeDevice(named name: String) throws(IOMMUError)
}
