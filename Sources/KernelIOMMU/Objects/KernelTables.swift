import IOMMU
import IOMMUObjects

/// An IOAS: what is mapped in it, since the kernel does not tell.
final class KernelIOAS: KernelObject {
    let areas = AreaMap()
    var usesHugePages = true
    /// Hwpts that follow it.
    var hwptCount = 0

    init(id: ObjectID) { super.init(.ioas, id: id) }

    override var users: Int { hwptCount }
    override var state: [IOMMUError.Member] {
        [.init("mappings", .number(UInt64(areas.count))), .init("huge_pages", .flag(usesHugePages))]
    }
}

/// A hardware page table.
final class KernelHWPT: KernelObject {
    /// What it is a table of.
    enum Base {
        case ioas(KernelIOAS)
        /// The stage 1 of a guest, with words 0 and 1 of its STE.
        case viommu(KernelVIOMMU, ste: (UInt64, UInt64))
    }

    let base: Base
    let flags: HWPTFlags
    /// Made by an attach to the IOAS, and gone with its last device.
    let isAutomatic: Bool
    /// None of the kernel's: a device that its driver emulates reads and writes the IOAS itself, under whose id it is.
    var isDirect: Bool { if case .ioas(let ioas) = base { ioas.id == id } else { false } }
    let faultQueue: KernelFaultQueue?
    /// (device, PASID) pairs on it.
    private(set) var attachedCount = 0
    private var nestedAttachedCount = 0
    /// Which pages are dirty is kept.
    var isTracking = false
    /// Where nobody knows what an earlier daemon has told of: all pages count as dirty, once.
    var suspects: [AddressRange] = []
    var viommuCount = 0

    init(id: ObjectID, base: Base, flags: HWPTFlags = [], isAutomatic: Bool, faultQueue: KernelFaultQueue? = nil) {
        self.base = base
        self.flags = flags
        self.isAutomatic = isAutomatic
        self.faultQueue = faultQueue
        super.init(.hwpt, id: id)
        faultQueue?.hwptCount += 1
        switch base {
        case .ioas(let ioas): ioas.hwptCount += 1
        case .viommu(let viommu, _): viommu.nestedCount += 1
        }
    }

    /// Nothing uses it any more, and the kernel has forgotten it.
    func release() {
        faultQueue?.hwptCount -= 1
        switch base {
        case .ioas(let ioas): ioas.hwptCount -= 1
        case .viommu(let viommu, _): viommu.nestedCount -= 1
        }
    }

    func attachmentsChanged(by count: Int) {
        attachedCount += count
        if case .viommu(let viommu, _) = base { viommu.hwpt.nestedAttachedCount += count }
    }

    var isNested: Bool { if case .viommu = base { true } else { false } }
    /// The IOAS that it follows, itself or through the stage 2 below.
    var ioas: KernelIOAS {
        switch base {
        case .ioas(let ioas): ioas
        case .viommu(let viommu, _): viommu.hwpt.ioas
        }
    }

    override var users: Int { attachedCount + nestedAttachedCount + viommuCount }
    override var references: [KernelObject] {
        let below: KernelObject
        switch base {
        case .ioas(let ioas): below = ioas
        case .viommu(let viommu, _): below = viommu
        }
        return faultQueue.map { [below, $0] } ?? [below]
    }

    override var state: [IOMMUError.Member] {
        let attached = IOMMUError.Member("attached", .number(UInt64(attachedCount)))
        switch base {
        case .viommu(_, let ste):
            return [.init("stage", .text("nested")), .init("ste", .words([ste.0, ste.1])), attached]
        case .ioas:
            let names: [(HWPTFlags, String)] = [
                (.nestParent, "nest_parent"), (.dirtyTracking, "dirty_tracking"), (.pasid, "pasid"),
            ]
            let set = names.filter { flags.contains($0.0) }.map(\.1).joined(separator: ",")
            return [.init("automatic", .flag(isAutomatic)), .init("flags", .text(set)), attached]
        }
    }
}

/// A slice of an IOMMU that a virtual machine drives.
final class KernelVIOMMU: KernelObject {
    let hwpt: KernelHWPT
    var nestedCount = 0
    var vdevices: [UInt64: KernelVDevice] = [:]
    var eventQueue: KernelVEventQueue?
    /// The devices of virtual StreamIDs, also of those that are gone: their events may still come.
    var names: [UInt64: String] = [:]

    init(id: ObjectID, hwpt: KernelHWPT) {
        self.hwpt = hwpt
        super.init(.viommu, id: id)
        hwpt.viommuCount += 1
    }

    override var users: Int { nestedCount + vdevices.count + (eventQueue == nil ? 0 : 1) }
    override var references: [KernelObject] { [hwpt] }
    override var state: [IOMMUError.Member] { [.init("vdevices", .number(UInt64(vdevices.count)))] }
}

/// A device of a virtual machine.
final class KernelVDevice: KernelObject {
    let viommu: KernelVIOMMU
    unowned let device: KernelDevice
    let virtualID: UInt64

    init(id: ObjectID, viommu: KernelVIOMMU, device: KernelDevice, virtualID: UInt64) {
        (self.viommu, self.device, self.virtualID) = (viommu, device, virtualID)
        super.init(.vdevice, id: id)
        viommu.vdevices[virtualID] = self
        viommu.names[virtualID] = device.name
        device.vdevice = self
    }

    func release() {
        viommu.vdevices[virtualID] = nil
        device.vdevice = nil
    }

    override var references: [KernelObject] { [viommu, device] }
    override var state: [IOMMUError.Member] { [.init("virt_id", .number(virtualID))] }
}
