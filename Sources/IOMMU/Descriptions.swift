/// One object as `session.objects` shows it.
package struct ObjectDescription: Sendable, Equatable {
    /// "ioas", "hwpt", "device", "fault", "viommu", "vdevice", "veventq", "memory", "mm", "bond", "queue", "vsmmu"
    package var kind: String
    package var id: ObjectID
    /// How many other objects hold it.
    package var users: Int
    /// What it holds: kind and id of each.
    package var refersTo: [Reference]
    /// What else there is to know, by name.
    package var state: [IOMMUError.Member]

    package struct Reference: Sendable, Equatable {
        package var kind: String
        package var id: ObjectID

        package init(kind: String, id: ObjectID) {
            self.kind = kind
            self.id = id
        }
    }

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
    package var iova: UInt64
    package var length: UInt64
    package var memory: ObjectID
    package var offset: UInt64
    package var access: Access

    package init(iova: UInt64, length: UInt64, memory: ObjectID, offset: UInt64, access: Access) {
        self.iova = iova
        self.length = length
        self.memory = memory
        self.offset = offset
        self.access = access
    }
}

/// `struct iommu_hw_info` and `struct iommu_hw_info_arm_smmuv3`
package struct HardwareInfo: Sendable {
    package var type: String
    package var idr: [UInt32]
    package var iidr: UInt32
    package var aidr: UInt32
    /// "dirty_tracking", "pasid_exec", "pasid_priv", "ats_not_supported"
    package var capabilities: [String]
    package var maxPASIDLog2: Int

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
    package var device: ObjectID
    package var pasid: UInt32?
    package var groupID: UInt32
    /// Of "read", "write", "exec", "priv".
    package var permissions: [String]
    package var address: UInt64
    package var length: UInt64
    package var cookie: UInt32
    package var last: Bool

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
    package var sequence: UInt32
    /// Set on the entry that stands for events which found the queue full.
    package var lost: Bool
    /// Four words; empty if `lost`.
    package var record: [UInt64]

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
        package var reason: Reason
        /// One sentence for a person.
        package var text: String
        /// What to do about it, where a remedy exists.
        package var hint: String?
        /// The objects involved.
        package var members: [IOMMUError.Member]

        package init(reason: Reason, text: String, hint: String? = nil, members: [IOMMUError.Member] = []) {
            self.reason = reason
            self.text = text
            self.hint = hint
            self.members = members
        }
    }

    package var viable: Bool
    package var reasons: [Obstacle]
    package var group: UInt32

    package init(viable: Bool, reasons: [Obstacle], group: UInt32) {
        self.viable = viable
        self.reasons = reasons
        self.group = group
    }
}

/// One refusal that a layout would meet.
package struct LayoutProblem: Sendable {
    package var error: IOMMUError
    /// Index into the checked mappings, where one is at fault.
    package var mapping: Int?
    package var device: String?

    package init(error: IOMMUError, mapping: Int? = nil, device: String? = nil) {
        self.error = error
        self.mapping = mapping
        self.device = device
    }
}

/// The hardware as `topology.list` shows it.
package struct TopologyState: Sendable {
    package struct SMMU: Sendable {
        package var name: String
        package var features: [String]
        /// IDR0…IDR5
        package var idr: [UInt32]

        package init(name: String, features: [String], idr: [UInt32]) {
            self.name = name
            self.features = features
            self.idr = idr
        }
    }

    package struct Group: Sendable {
        package var id: UInt32
        package var devices: [String]

        package init(id: UInt32, devices: [String]) {
            self.id = id
            self.devices = devices
        }
    }

    package struct Device: Sendable {
        package var description: DeviceDescription
        package var group: UInt32
        /// The owner of the context that has bound it.
        package var boundBy: String?

        package init(description: DeviceDescription, group: UInt32, boundBy: String?) {
            self.description = description
            self.group = group
            self.boundBy = boundBy
        }
    }

    /// An accelerator with queues (uacce).
    package struct Accelerator: Sendable {
        /// Its device.
        package var name: String
        /// How its queues are used.
        package var api: String
        /// What it can compute.
        package var algorithms: [String]
        /// Queues that can be opened now.
        package var queuesAvailable: Int

        package init(name: String, api: String, algorithms: [String], queuesAvailable: Int) {
            self.name = name
            self.api = api
            self.algorithms = algorithms
            self.queuesAvailable = queuesAvailable
        }
    }

    package var smmus: [SMMU]
    package var groups: [Group]
    /// `description.reserved` includes the MSI window where the bus has one.
    package var devices: [Device]
    package var accelerators: [Accelerator]

    package init(smmus: [SMMU], groups: [Group], devices: [Device], accelerators: [Accelerator]) {
        self.smmus = smmus
        self.groups = groups
        self.devices = devices
        self.accelerators = accelerators
    }
}
