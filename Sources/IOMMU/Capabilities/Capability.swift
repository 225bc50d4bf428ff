/// What only some backends can do: an optional property of a context or a backend, nil where it is missing.
///
/// The contract below it, ``IOMMUContext``, is what every backend can.
package enum Capability: String, Sendable, CaseIterable {
    /// ``DeviceDMA``: `dma.*`
    case deviceDMA = "device_dma"
    /// ``SharedAddressing``: `mm.*`, `sva.*`
    case sharedAddressing = "shared_addressing"
    /// ``AcceleratorQueues``: `queue.*`
    case acceleratorQueues = "accelerator_queues"
    /// ``SMMUInspection``: `smmu.*`
    case smmuInspection = "smmu_inspection"
    /// ``TLBBroadcast``: `cpu.tlbi`
    case tlbBroadcast = "tlb_broadcast"
    /// ``BareSMMUs``: `vsmmu.*`
    case bareSMMUs = "bare_smmus"
    /// ``DeviceHotplug``: `device.add`, `device.remove`
    case deviceHotplug = "device_hotplug"
    /// ``DescriptorExport``: `fd.export`, `device.export`
    case descriptorExport = "descriptor_export"

    /// The `reason` of the refusal where it is missing: `no_device_dma` and so on.
    package var missingReason: Reason {
        switch self {
        case .deviceDMA: .noDeviceDMA
        case .sharedAddressing: .noSharedAddressing
        case .acceleratorQueues: .noAcceleratorQueues
        case .smmuInspection: .noSMMUInspection
        case .tlbBroadcast: .noTLBBroadcast
        case .bareSMMUs: .noBareSMMUs
        case .deviceHotplug: .noDeviceHotplug
        case .descriptorExport: .noDescriptorExport
        }
    }

    /// `EOPNOTSUPP`: the backend does not have it.
    package var missing: IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, missingReason, "this backend \(limitation)", hint: remedy,
            ["capability": .text(rawValue)])
    }

    /// What a backend without it cannot do, as the end of a sentence about it.
    package var limitation: String {
        switch self {
        case .deviceDMA: "cannot make a device read or write: only the device's own driver can"
        case .sharedAddressing:
            "cannot share the address space of another process: the kernel binds that of whoever opens the device"
        case .acceleratorQueues: "opens no queues for others: they would work on the memory of whoever opens the device"
        case .smmuInspection: "cannot look into its SMMUs"
        case .tlbBroadcast: "sends no TLB invalidations for the CPUs: they do so themselves"
        case .bareSMMUs: "has no SMMU models for clients to program"
        case .deviceHotplug: "takes its devices from the system: none can be added or removed by a call"
        case .descriptorExport: "has no descriptors of its devices that a VMM could open"
        }
    }

    private var remedy: String {
        switch self {
        case .deviceHotplug: "plug it in or out; topology.list then shows it"
        case .descriptorExport: "devices of the kernel backend can be handed out; a VMM drives others through iommud"
        case .deviceDMA, .sharedAddressing, .acceleratorQueues, .smmuInspection, .tlbBroadcast, .bareSMMUs:
            "daemon.info lists what the backend can do; the emulated one can do this"
        }
    }
}
