/// One object as `session.objects` shows it.
package struct ObjectDescription: Sendable, Equatable {
    /// "ioas", "hwpt", "device", "fault", "viommu", "vdevice", "veventq", "memory", "mm", "bond", "queue", "vsmmu"
    package var kind: String
    /// Unique among those of its id space.
    package var id: ObjectID
    /// How many other objects hold it.
    package var users: Int
    /// What it holds: kind and id of each.
    package var refersTo: [Reference]
    /// What else there is to know, by name.
    package var state: [IOMMUError.Member]

    /// Another object of the session.
    package struct Reference: Sendable, Equatable {
        /// As ``ObjectDescription/kind``.
        package var kind: String
        /// Its id.
        package var id: ObjectID

        /// With these properties.
        package init(kind: String, id: ObjectID) {
            self.kind = kind
            self.id = id
        }
    }

    /// With these properties.
    package init(kind: String, id: ObjectID, users: Int, refersTo: [Reference] = [], state: [IOMMUError.Member] = []) {
        self.kind = kind
        self.id = id
        self.users = users
        self.refersTo = refersTo
        self.state = state
    }
}

/// One mapping of an IOAS.
package struct MappingDescription: Sendable, Equatable {
    /// First byte.
    package var iova: UInt64
    /// Bytes.
    package var length: UInt64
    /// The memory object; 0 where it is an address space.
    package var memory: ObjectID
    /// The address space whose pages are used instead.
    package var mm: ObjectID?
    /// First byte in it.
    package var offset: UInt64
    /// What devices may do.
    package var access: Access

    /// With these properties.
    package init(
        iova: UInt64, length: UInt64, memory: ObjectID, mm: ObjectID? = nil, offset: UInt64, access: Access
    ) {
        self.iova = iova
        self.length = length
        self.memory = memory
        self.mm = mm
        self.offset = offset
        self.access = access
    }
}

/// `struct iommu_hw_info` and `struct iommu_hw_info_arm_smmuv3`
package struct HardwareInfo: Sendable {
    /// "arm_smmuv3"
    package var type: String
    /// IDR0…IDR5
    package var idr: [UInt32]
    /// IIDR
    package var iidr: UInt32
    /// AIDR
    package var aidr: UInt32
    /// `IOMMU_HW_INFO_ARM_SMMUV3_*`, such as "errata_repeat_tlbi_cfgi"; an emulated SMMU has no errata.
    package var flags: [String] = []
    /// "dirty_tracking", "pasid_exec", "pasid_priv", "ats_not_supported"
    package var capabilities: [String]
    /// Bits of its PASIDs; 0: none.
    package var maxPASIDLog2: Int

    /// With these properties.
    package init(type: String, idr: [UInt32], iidr: UInt32, aidr: UInt32, capabilities: [String], maxPASIDLog2: Int) {
        self.type = type
        self.idr = idr
        self.iidr = iidr
        self.aidr = aidr
        self.capabilities = capabilities
        self.maxPASIDLog2 = maxPASIDLog2
    }
}

/// `struct iommu_hwpt_pgfault`
package struct PageFault: Sendable, Equatable {
    /// The device object.
    package var device: ObjectID
    /// nil: the access had none.
    package var pasid: UInt32?
    /// Faults of one group are answered together.
    package var groupID: UInt32
    /// Of "read", "write", "exec", "priv".
    package var permissions: [String]
    /// Where the access failed.
    package var address: UInt64
    /// Bytes that are wanted; a hint.
    package var length: UInt64
    /// What the answer names.
    package var cookie: UInt32
    /// The last of its group: it is the one to answer.
    package var last: Bool

    /// With these properties.
    package init(
        device: ObjectID, pasid: UInt32?, groupID: UInt32, permissions: [String], address: UInt64, length: UInt64,
        cookie: UInt32, last: Bool
    ) {
        self.device = device
        self.pasid = pasid
        self.groupID = groupID
        self.permissions = permissions
        self.address = address
        self.length = length
        self.cookie = cookie
        self.last = last
    }
}

/// One entry of a veventq: `struct iommufd_vevent_header` and the SMMUv3 event record.
package struct VirtualEvent: Sendable, Equatable {
    /// Counts every event, lost ones too.
    package var sequence: UInt32
    /// Set on the entry that stands for events which found the queue full.
    package var lost: Bool
    /// Four words; empty if `lost`.
    package var record: [UInt64]

    /// With these properties.
    package init(sequence: UInt32, lost: Bool, record: [UInt64]) {
        self.sequence = sequence
        self.lost = lost
        self.record = record
    }
}

/// Why a device can or cannot be bound and attached.
package struct DeviceExplanation: Sendable {
    /// One of the things that stand in the way.
    package struct Obstacle: Sendable {
        /// For programs.
        package var reason: Reason
        /// One sentence for a person.
        package var text: String
        /// What to do about it.
        package var hint: String
        /// The objects involved.
        package var members: [IOMMUError.Member]

        /// With these properties.
        package init(reason: Reason, text: String, hint: String, members: [IOMMUError.Member] = []) {
            self.reason = reason
            self.text = text
            self.hint = hint
            self.members = members
        }

        /// What a refusal says.
        package init(_ refusal: IOMMUError) {
            self.init(
                reason: refusal.reason, text: refusal.message, hint: refusal.hint, members: refusal.members)
        }
    }

    /// Nothing stands in the way.
    package var viable: Bool
    /// All that does.
    package var reasons: [Obstacle]
    /// nil: the device has no group.
    package var group: UInt32?

    /// With these properties.

    package init(viable: Bool, reasons: [Obstacle], group: UInt32?) {
        self.viable = viable
        self.reasons = reasons
        self.group = group
    }
}

/// One refusal that a layout would meet.
package struct LayoutProblem: Sendable {
    /// What it would be refused with.
    package var error: IOMMUError
    /// Index into the checked mappings, where one is at fault.
    package var mapping: Int?
    /// The device at fault, if one is.
    package var device: String?

    /// With these properties.
    package init(error: IOMMUError, mapping: Int? = nil, device: String? = nil) {
        self.error = error
        self.mapping = mapping
        self.device = device
    }
}
