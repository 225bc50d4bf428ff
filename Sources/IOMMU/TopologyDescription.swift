/// The machine that the emulated backend builds: what a configuration file describes and `device.add` extends.
package struct TopologyDescription: Sendable, Equatable {
    /// Each has its own name.
    package var smmus: [SMMUDescription]
    /// Each has its own name, and its SMMU is among ``smmus``.
    package var devices: [DeviceDescription]

    /// With these properties.
    package init(smmus: [SMMUDescription], devices: [DeviceDescription]) {
        self.smmus = smmus
        self.devices = devices
    }
}

/// One emulated SMMUv3: the choices that its ID registers state. The defaults are those of the laboratory topology.
package struct SMMUDescription: Sendable, Equatable {
    /// What devices refer to it by.
    package var name: String
    /// IDR0.S1P / S2P; both together make nested translation possible.
    package var stage1 = true
    package var stage2 = true
    /// Stage-1 input bits, 48 (or 52 with IDR5.VAX).
    package var virtualAddressBits = 48
    /// IDR5.OAS in bits: 32, 36, 40, 42, 44, 48 or 52. IAS equals it.
    package var outputAddressBits = 44
    package var granule4K = true
    package var granule16K = false
    package var granule64K = false
    /// IDR0.ST_LEVEL = 1
    package var twoLevelStreamTable = true
    /// IDR1.SIDSIZE, 0…32
    package var streamIDBits = 16
    /// IDR1.SSIDSIZE, 0…20
    package var substreamIDBits = 16
    /// IDR0.ASID16 / VMID16: 8 or 16
    package var asidBits = 16
    package var vmidBits = 16
    /// IDR0.STALL_MODEL: 0 faults can stall, 1 they cannot, 2 they always do.
    package var stallModel = 0
    /// IDR0.TERM_MODEL: 1 terminated accesses always abort (CD.A = 0 is ILLEGAL).
    package var terminateModel = 0
    /// IDR3.FWB: stage 2 can force write-back.
    package var forceWriteBack = true
    package var pri = true
    package var ats = true
    /// IDR0.HTTU = 2: access flag and dirty state
    package var hardwareDirty = true
    /// IDR3.RIL
    package var rangeInvalidation = true
    /// IDR0.BTM
    package var broadcastTLB = false
    /// IDR1.CMDQS, log2 of the entries that the command queue can have, 0…19
    package var commandQueueBits = 16

    /// With these properties.
    package init(name: String) { self.name = name }

    /// Faults can stall.
    package var stall: Bool {
        get { stallModel != 1 }
        set { stallModel = newValue ? 0 : 1 }
    }
}

/// One emulated device.
package struct DeviceDescription: Sendable, Equatable {
    /// What `device.bind` takes.
    package var name: String
    /// The name of the SMMU its transactions go through.
    package var smmu: String
    /// At least one; its first accesses carry the first.
    package var streamIDs: [UInt32]
    /// Devices that name the same group move together; nil: a group of its own.
    package var group: String?
    /// The driver name `topology.list` shows; nil: none bound.
    package var driver: String?
    /// 0: no PASIDs.
    package var pasidBits = 0
    package var stall = false
    package var pri = false
    package var ats = false
    package var coherent = true
    package var reserved: [ReservedRegion] = []
    /// 0: not an accelerator.
    package var queues = 0
    package var algorithms: [String] = []
    /// PCI devices reserve the software MSI window; platform devices do not.
    package var bus: DeviceBus = .pci

    /// With these properties.
    package init(name: String, smmu: String, streamIDs: [UInt32]) {
        self.name = name
        self.smmu = smmu
        self.streamIDs = streamIDs
    }
}

package enum DeviceBus: String, Sendable, CaseIterable {
    case pci
    case platform
}

/// A range of IOVAs that a device cannot use for DMA to memory.
package struct ReservedRegion: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        case reserved
        case msi
        case softwareMSI = "sw_msi"
        /// The firmware uses it, and would go on while another owner has the device: such a device cannot be bound.
        case direct
        /// The firmware used it before the system came up: free for whoever binds the device.
        case directRelaxable = "direct_relaxable"
    }

    package var range: AddressRange
    package var kind: Kind

    /// With these properties.
    package init(range: AddressRange, kind: Kind) {
        self.range = range
        self.kind = kind
    }

    /// Where PCI devices behind an Arm SMMU get their MSI doorbells mapped: 0x8000000-0x80fffff.
    package static let softwareMSIWindow = AddressRange(start: 0x0800_0000, last: 0x080f_ffff)
}
