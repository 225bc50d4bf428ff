import IOMMU

/// A slice of an SMMU that a virtual machine drives: its VMID, its virtual StreamIDs, its events.
package final class VIOMMU: SessionObject {
    let hwpt: PagingHWPT
    /// The driver's part of it.
    let slice: any GuestSlice
    var nestedCount = 0
    /// By virtual id.
    var vdevices: [UInt64: VDevice] = [:]
    var eventQueue: VEventQueue?

    init(hwpt: PagingHWPT, slice: any GuestSlice) {
        self.hwpt = hwpt
        self.slice = slice
        super.init(.viommu)
        hwpt.viommuCount += 1
    }

    /// Nested hwpts, vdevices and the event queue.
    package override var users: Int { nestedCount + vdevices.count + (eventQueue == nil ? 0 : 1) }
    override var references: [SessionObject] { [hwpt] }
    override var state: [IOMMUError.Member] {
        [.init("type", .text(hwpt.driver.traits.virtualType)), .init("smmu", .text(hwpt.driver.name))]
    }
}

/// A device as a virtual machine sees it.
package final class VDevice: SessionObject {
    let viommu: VIOMMU
    let device: DeviceObject
    let virtualID: UInt64

    init(viommu: VIOMMU, device: DeviceObject, virtualID: UInt64) {
        self.viommu = viommu
        self.device = device
        self.virtualID = virtualID
        super.init(.vdevice)
    }

    override var references: [SessionObject] { [viommu, device] }
    override var state: [IOMMUError.Member] { [.init("virt_id", .number(virtualID))] }
}
