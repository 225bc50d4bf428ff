import IOMMU
import JSONRPC

private struct ReservedFields {
    let start: Field<Hex>
    let last: Field<Hex>
    let type: Field<String>

    static var type: ResultType<ObjectOf<ReservedFields>> {
        .object { region in
            ReservedFields(
                start: region.result("start", .hex, "First byte."), last: region.result("last", .hex, "Last byte."),
                type: region.result("type", .choice(ReservedRegion.Kind.allCases.map(\.rawValue)), "Why.")
            )
        }
    }
}

private struct SMMUFields {
    let name: Field<String>
    let features: Field<ListOf<String>>
    let idr: Field<ListOf<Hex>>

    static var type: ResultType<ObjectOf<SMMUFields>> {
        .object { smmu in
            SMMUFields(
                name: smmu.result("name", .string, "Its name."),
                features: smmu.result("features", .array(of: .string), "What it implements."),
                idr: smmu.optionalResult("idr", .array(of: .hex), "IDR0 to IDR5, where the system tells them.")
            )
        }
    }
}

private struct GroupFields {
    let id: Field<Count>
    let devices: Field<ListOf<String>>
    let viable: Field<Bool>
    let reason: Field<String>

    static var type: ResultType<ObjectOf<GroupFields>> {
        .object { group in
            GroupFields(
                id: group.result("id", .count, "Its number."),
                devices: group.result("devices", .array(of: .string), "Those that move together."),
                viable: group.result("viable", .bool, "Whether the caller can bind and attach it."),
                reason: group.optionalResult("reason", .string, "Why not; `device.explain` says all.")
            )
        }
    }
}

private struct DeviceFields {
    let name: Field<String>
    let smmu: Field<String>
    let streamIDs: Field<ListOf<Count>>
    let group: Field<OptionalCount>
    let noIOMMU: Field<Bool>
    let driver: Field<String>
    let cdev: Field<String>
    let vfioBound: Field<Bool>
    let ats: Field<Bool>
    let pri: Field<Bool>
    let stall: Field<Bool>
    let coherent: Field<Bool>
    let pasidBits: Field<Count>
    let reserved: Field<ListOf<ObjectOf<ReservedFields>>>
    let boundBy: Field<String>

    static var type: ResultType<ObjectOf<DeviceFields>> {
        .object { device in
            DeviceFields(
                name: device.result("name", .string, "Its name."),
                smmu: device.optionalResult("smmu", .string, "The SMMU it is behind, where that is known."),
                streamIDs: device.optionalResult(
                    "stream_ids", .array(of: .count), "Its StreamIDs, where the system tells them."),
                group: device.result("group", .countOrNull, "The number of its group; null: it has none."),
                noIOMMU: device.optionalResult(
                    "noiommu", .bool, "True: it has no IOMMU before it; shown to administrators, and theirs alone."),
                driver: device.optionalResult("driver", .string, "The driver that has it."),
                cdev: device.optionalResult("cdev", .string, "The path of its vfio device node."),
                vfioBound: device.optionalResult("vfio_bound", .bool, "Whether a vfio driver has it."),
                ats: device.result("ats", .bool, "It caches translations."),
                pri: device.result("pri", .bool, "It can ask for pages."),
                stall: device.result("stall", .bool, "It can wait on a fault."),
                coherent: device.result("coherent", .bool, "Its DMA is coherent with the caches."),
                pasidBits: device.result("pasid_bits", .count, "Bits of its PASIDs; 0: none."),
                reserved: device.result("reserved", .array(of: ReservedFields.type), "IOVAs it cannot use."),
                boundBy: device.optionalResult(
                    "bound_by", .string, "Who has bound it; the names of others' sessions are for administrators.")
            )
        }
    }
}

private struct AcceleratorFields {
    let name: Field<String>
    let api: Field<String>
    let algorithms: Field<ListOf<String>>
    let queuesAvailable: Field<Count>

    static var type: ResultType<ObjectOf<AcceleratorFields>> {
        .object { accelerator in
            AcceleratorFields(
                name: accelerator.result("name", .string, "Its device."),
                api: accelerator.result("api", .string, "How its queues are used."),
                algorithms: accelerator.result("algorithms", .array(of: .string), "What it can compute."),
                queuesAvailable: accelerator.result("queues_available", .count, "Queues that can be opened.")
            )
        }
    }
}

func declareTopology(_ methods: inout MethodTable<Service>) {
    methods.declare("topology.list", "The SMMUs, groups and devices of this machine.") { m in
        let smmus = m.result("smmus", .array(of: SMMUFields.type), "The SMMUs.")
        let groups = m.result("groups", .array(of: GroupFields.type), "The groups.")
        let devices = m.result("devices", .array(of: DeviceFields.type), "The devices.")
        let uacce = m.result("uacce", .array(of: AcceleratorFields.type), "The accelerators with queues.")
        return { call, service in
            let client = try service.client(call)
            let topology = service.backend.topology
            let shown = service.devices(of: topology, for: client)
            let identity = client.peer.identity
            // What stands against a group takes a look at each address space of the client.
            var left = topology.groups[...]
            return call.reply(groups) { list in
                guard let group = left.popFirst() else { return false }
                let obstacle = service.obstacle(to: group, for: client)
                list.append { $0.write(group, obstacle, $1) }
                return true
            } then: { reply in
                reply.set(smmus) { list in for smmu in topology.smmus { list.append { $0.write(smmu, $1) } } }
                reply.set(devices) { list in
                    for device in shown { list.append { $0.write(device, for: identity, $1) } }
                }
                reply.set(uacce) { list in
                    for accelerator in topology.accelerators { list.append { $0.write(accelerator, $1) } }
                }
            }
        }
    }
}

extension ResultWriter {
    fileprivate func write(_ smmu: TopologyState.SMMU, _ fields: SMMUFields) {
        set(fields.name, smmu.name)
        set(fields.features) { list in for feature in smmu.features { list.append(feature) } }
        if let words = smmu.idr { set(fields.idr) { list in for word in words { list.append(UInt64(word)) } } }
    }

    fileprivate func write(_ group: TopologyState.Group, _ obstacle: String?, _ fields: GroupFields) {
        set(fields.id, group.id)
        set(fields.devices) { list in for device in group.devices { list.append(device) } }
        set(fields.viable, obstacle == nil)
        if let obstacle { set(fields.reason, obstacle) }
    }

    fileprivate func write(_ device: TopologyState.Device, for client: ClientIdentity, _ fields: DeviceFields) {
        set(fields.name, device.name)
        if let smmu = device.smmu { set(fields.smmu, smmu) }
        if let ids = device.streamIDs { set(fields.streamIDs) { list in for id in ids { list.append(id) } } }
        set(fields.group, device.group)
        if device.isNoIOMMU { set(fields.noIOMMU, true) }
        if let driver = device.driver { set(fields.driver, driver) }
        if let path = device.cdev { set(fields.cdev, path) }
        if let isBound = device.isVFIOBound { set(fields.vfioBound, isBound) }
        set(fields.ats, device.ats)
        set(fields.pri, device.pri)
        set(fields.stall, device.stall)
        set(fields.coherent, device.coherent)
        set(fields.pasidBits, device.pasidBits)
        write(device.reserved, fields.reserved)
        if let holder = device.boundBy {
            set(fields.boundBy, holder.text(for: client.uid, isAdministrator: client.isAdmin))
        }
    }

    private func write(_ regions: [ReservedRegion], _ field: Field<ListOf<ObjectOf<ReservedFields>>>) {
        set(field) { list in
            for region in regions {
                list.append { object, fields in
                    object.set(fields.start, region.range.start)
                    object.set(fields.last, region.range.last)
                    object.set(fields.type, region.kind.rawValue)
                }
            }
        }
    }

    fileprivate func write(_ accelerator: TopologyState.Accelerator, _ fields: AcceleratorFields) {
        set(fields.name, accelerator.name)
        set(fields.api, accelerator.api)
        set(fields.algorithms) { list in for algorithm in accelerator.algorithms { list.append(algorithm) } }
        set(fields.queuesAvailable, accelerator.queuesAvailable)
    }
}
