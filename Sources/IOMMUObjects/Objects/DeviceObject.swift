import IOMMU

/// A bound device in the id space of a context.
///
/// It outlives the unplugging of its device: then every call on it but `device.unbind` answers ENODEV.
package final class DeviceObject: SessionObject {
    /// The device, plugged in or not.
    package let device: Device
    /// The hwpts it is attached to, by PASID (``DeviceGroup/ridKey`` without one).
    var attachments: [UInt32: HWPT] = [:]
    weak var vdevice: VDevice?

    init(_ device: Device) {
        self.device = device
        super.init(.device)
    }

    /// Its vdevice.
    package override var users: Int { vdevice == nil ? 0 : 1 }

    override var references: [SessionObject] {
        attachments.sorted { $0.key < $1.key }.flatMap { attachment -> [SessionObject] in
            // On a nested stage 1 the device depends on the stage 2 below as well.
            attachment.value.paging === attachment.value
                ? [attachment.value] : [attachment.value, attachment.value.paging]
        }
    }

    override var state: [IOMMUError.Member] {
        var members: [IOMMUError.Member] = [
            .init("name", .text(device.name)),
            .init("group", .number(UInt64(device.group.id))),
        ]
        if device.isRemoved { members.append(.init("state", .text("removed"))) }
        if let hwpt = attachments[DeviceGroup.ridKey] { members.append(.init("hwpt", .number(UInt64(hwpt.id)))) }
        let pasids = attachments.filter { $0.key != DeviceGroup.ridKey }.sorted { $0.key < $1.key }
        if !pasids.isEmpty {
            members.append(.init("pasids", .object(pasids.map { .init("\($0.key)", .number(UInt64($0.value.id))) })))
        }
        return members
    }
}
