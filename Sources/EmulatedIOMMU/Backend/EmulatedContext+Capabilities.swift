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
        context.keptState = self
        context.lender = self
    }
}

extension EmulatedBackend: DeviceHotplug, AddressSpaceProbing {
    /// ``Capability/deviceHotplug``: devices come and go while the machine runs.
    package var deviceHotplug: (any DeviceHotplug)? { self }
    /// The kernel tells nobody of the end of a process's address space: somebody has to look.
    package var addressSpaceProbing: (any AddressSpaceProbing)? { self }

    /// Whether a device could use the address space of a process now.
    package var needsProbing: Bool { sva.needsProbing }
    /// Nanoseconds between two looks: a tenth of a second.
    package var probeInterval: UInt64 { SVAManager.probeInterval }
    /// Looks which address spaces have ended: their bonds are quiesced and their queues stopped.
    package func probeAddressSpaces() { sva.probeAddressSpaces() }
}
