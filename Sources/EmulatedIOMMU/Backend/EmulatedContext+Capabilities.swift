import IOMMU
import IOMMUObjects

/// The emulated backend can do everything but hand out descriptors: its devices have none.
extension EmulatedContext: DeviceDMA, SharedAddressing, AcceleratorQueues, TLBBroadcast, SMMUInspection {
    /// Makes all of it the context's.
    func equip() {
        context.add(self)
        context.deviceDMA = self
        context.sharedAddressing = self
        context.acceleratorQueues = self
        context.smmuInspection = self
        context.tlbBroadcast = self
    }
}

extension EmulatedBackend: DeviceHotplug, AddressSpaceProbing {
    package var deviceHotplug: (any DeviceHotplug)? { self }
    package var addressSpaceProbing: (any AddressSpaceProbing)? { self }

    package var needsProbing: Bool { sva.needsProbing }
    package var probeInterval: UInt64 { SVAManager.probeInterval }
    package func probeAddressSpaces() { sva.probeAddressSpaces() }
}
