import IOMMU

/// Devices that the fabric cannot tell apart: they are owned and attached together.
package final class DeviceGroup {
    /// As clients call it: the lowest that is free.
    package let id: UInt32
    /// What the topology calls it; nil for a group of one device.
    package let name: String?
    /// Those of the machine, bound or not.
    package internal(set) var devices: [Device] = []
    /// The context that holds at least one of the devices.
    package internal(set) var owner: ObjectContext? {
        get { ownerReference?.context }
        set { ownerReference = newValue?.reference }
    }
    private var ownerReference: ContextReference?
    /// What is attached per PASID; ``ridKey`` stands for accesses without one. An absent key means blocked.
    package internal(set) var attachments: [UInt32: GroupAttachment] = [:]

    /// PASID 0 is what accesses without a PASID use.
    package static let ridKey: UInt32 = 0

    init(id: UInt32, name: String?) {
        self.id = id
        self.name = name
    }

    /// The group has been attached to `hwpt`, or (nil) detached: its devices have the virtual ids of now in the events
    /// of the guest whose stage 1 that is.
    func nameEvents(through hwpt: HWPT?) {
        let viommu = (hwpt as? NestedHWPT)?.viommu
        for device in devices {
            let vdevice = device.handle?.vdevice
            device.eventID = viommu != nil && vdevice?.viommu === viommu ? vdevice?.virtualID : nil
        }
    }
}

/// A group, or one PASID of it, attached to an hwpt.
package final class GroupAttachment {
    var hwpt: HWPT
    /// The devices that asked for it, in order; the group is detached with the last of them.
    var devices: [DeviceObject]

    init(hwpt: HWPT, devices: [DeviceObject]) {
        self.hwpt = hwpt
        self.devices = devices
    }
}
