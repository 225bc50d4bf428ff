import IOMMU

/// The emulated backend can do everything but hand out descriptors: its devices have none.
extension EmulatedContext: DeviceDMA, SharedAddressing, AcceleratorQueues, TLBBroadcast, BareSMMUs, SMMUInspection {
    package var deviceDMA: (any DeviceDMA)? { self }
    package var sharedAddressing: (any SharedAddressing)? { self }
    package var acceleratorQueues: (any AcceleratorQueues)? { self }
    package var smmuInspection: (any SMMUInspection)? { self }
    package var tlbBroadcast: (any TLBBroadcast)? { self }
    package var bareSMMUs: (any BareSMMUs)? { self }
}

extension EmulatedBackend: DeviceHotplug, AddressSpaceProbing {
    package var deviceHotplug: (any DeviceHotplug)? { self }
    package var addressSpaceProbing: (any AddressSpaceProbing)? { self }

    package var needsProbing: Bool { sva.needsProbing }
    package var probeInterval: UInt64 { SVAManager.probeInterval }
    package func probeAddressSpaces() { sva.probeAddressSpaces() }
}
