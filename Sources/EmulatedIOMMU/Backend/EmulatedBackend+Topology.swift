import IOMMU
import SMMUv3

extension EmulatedBackend {
    /// What `daemon.info` says this backend can do, by name; the same for every topology.
    package var features: [String] {
        [
            "nested", "dirty_tracking", "page_faults", "pasid", "sva", "queues", "dma", "smmu_inspection", "vsmmu",
            "device_hotplug",
        ]
    }

    /// What there is now, for `topology.list`: SMMUs in the order of the topology, groups by id, devices in the order
    /// in which they were added.
    package var topology: TopologyState {
        TopologyState(
            smmus: smmus.map {
                TopologyState.SMMU(name: $0.name, features: $0.featureNames, idr: $0.driver.features.idr)
            },
            groups: registry.groups.all.map {
                TopologyState.Group(id: $0.element.id, devices: $0.element.devices.map(\.name))
            },
            devices: devices.map(\.facts),
            accelerators: devices.filter { $0.description.queues > 0 }.map { device in
                TopologyState.Accelerator(
                    name: device.name, api: "iommud_dma_v1", algorithms: device.description.algorithms,
                    queuesAvailable: max(device.description.queues - device.openQueues, 0))
            })
    }
}

extension EmulatedDevice {
    /// What there is to know of it, for `topology.list`.
    fileprivate var facts: TopologyState.Device {
        var facts = TopologyState.Device(name: name)
        facts.smmu = description.smmu
        facts.streamIDs = description.streamIDs
        facts.group = group.id
        facts.driver = description.driver
        (facts.ats, facts.pri, facts.stall) = (description.ats, description.pri, description.stall)
        (facts.coherent, facts.pasidBits) = (description.coherent, description.pasidBits)
        facts.reserved = device.reservedRegions
        facts.boundBy = device.boundBy?.holder
        return facts
    }
}

extension EmulatedSMMU {
    /// What the ID registers offer, for `topology.list`.
    package var featureNames: [String] {
        let features = driver.features
        let names: [(Bool, String)] = [
            (features.hasStage1, "stage1"), (features.hasStage2, "stage2"),
            (features.hasStage1 && features.hasStage2, "nested"),
            (features.hasTwoLevelStreamTable, "two_level_stream_table"),
            (features.hasTwoLevelContextTable, "two_level_context_table"), (features.hasStall, "stall"),
            (features.hasPRI, "pri"), (features.hasATS, "ats"), (features.hasHardwareDirty, "dirty_tracking"),
            (features.hasRangeInvalidation, "range_invalidation"), (features.hasBroadcastTLB, "btm"),
            (features.substreamIDBits > 0, "pasid"),
        ]
        return names.filter(\.0).map(\.1)
    }
}
