import IOMMU
import JSONRPC

/// One element of `ioas.map_many`.
private struct MappingParameters {
    let memory: Param<UInt32?>
    let offset: Param<UInt64?>
    let mm: Param<UInt32?>
    let va: Param<UInt64?>
    let length: Param<UInt64>
    let iova: Param<UInt64?>
    let access: Param<Flags>

    static var type: ParamType<Object<MappingParameters>> {
        .object { mapping in
            MappingParameters(
                memory: mapping.optional("memory", .id, MappingSource.memoryDoc),
                offset: mapping.optional("offset", .address, MappingSource.offsetDoc),
                mm: mapping.optional("mm", .id, MappingSource.mmDoc),
                va: mapping.optional("va", .address, MappingSource.vaDoc),
                length: mapping.param("length", .address, "Bytes."),
                iova: mapping.optional("iova", .address, "Where; chosen in the allowed ranges if absent."),
                access: mapping.param("access", .access, default: .readWrite, "What devices may do; both if absent.")
            )
        }
    }
}

/// `ioas.*` that changes address spaces.
func declareIOASMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("ioas.alloc", "Make an empty I/O address space.", changesState: true) { m in
        let ioas = m.result("ioas", .count, "The IOAS.")
        m.refuses(.room, .kernel, .iommufd)
        return { call, service in
            let made = try service.context(call).allocateIOAS()
            return call.reply { $0.set(ioas, made) }
        }
    }

    methods.declare("ioas.map", "Map part of a memory object, or pages of a process.", changesState: true) { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let length = m.param("length", .address, "Bytes.")
        let memory = m.optional("memory", .id, MappingSource.memoryDoc)
        let offset = m.optional("offset", .address, MappingSource.offsetDoc)
        let mm = m.optional("mm", .id, MappingSource.mmDoc)
        let va = m.optional("va", .address, MappingSource.vaDoc)
        let iova = m.optional("iova", .address, "Where; chosen in the allowed ranges if absent.")
        let access = m.param("access", .access, default: .readWrite, "What devices may do; both if absent.")
        let mapped = m.result("iova", .hex, "Where it is mapped.")
        m.refuses(.mapping, .lending, .kernel)
        m.refusesParameters("invalid_params", MappingSource.mistakeDoc)
        return { call, service in
            let request = try MappingSource.request(
                MappingSource.Values(memory: call[memory], offset: call[offset], mm: call[mm], va: call[va]),
                length: call[length], iova: call[iova], access: call[access].access)
            let session = try service.client(call).session
            let answer = try session.context.beginMap(ioas: call[ioas], request)
            return service.reply(call, session, answer, mapped) { $0.set($1, $2) }
        }
    }

    declareIOASMapMany(&methods)
    declareIOASUnmap(&methods)
    declareIOASCopy(&methods)
}

private func declareIOASMapMany(_ methods: inout MethodTable<Service>) {
    methods.declare("ioas.map_many", "Map many ranges, all or none.", changesState: true) { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let mappings = m.param("mappings", .array(of: MappingParameters.type), "What to map.")
        let iovas = m.result("iovas", .array(of: .hex), "Where each is mapped, in the same order.")
        m.refuses(.mapping, .lending, .kernel)
        m.refusesParameters("invalid_params", MappingSource.mistakeDoc)
        return { call, service in
            let requests = try call[mappings].map { mapping in
                let fields = mapping.fields
                return try MappingSource.request(
                    MappingSource.Values(
                        memory: mapping[fields.memory], offset: mapping[fields.offset], mm: mapping[fields.mm],
                        va: mapping[fields.va]),
                    length: mapping[fields.length], iova: mapping[fields.iova],
                    access: mapping[fields.access].access)
            }
            let session = try service.client(call).session
            let answer = try session.context.beginMap(ioas: call[ioas], many: requests)
            return service.reply(call, session, answer, iovas) { reply, field, mapped in
                reply.set(field) { $0.append(contentsOf: mapped) }
            }
        }
    }
}

private func declareIOASUnmap(_ methods: inout MethodTable<Service>) {
    methods.declare("ioas.unmap", "Unmap whole mappings.", changesState: true) { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let iova = m.param("iova", .address, "First byte; 0 with the largest length for everything.")
        let length = m.param("length", .address, "Bytes; 0xffffffffffffffff from 0 for everything.")
        let unmapped = m.result("unmapped", .hex, "Bytes that were unmapped.")
        m.refuses(.unknownIOAS, .zeroLength, .wraps, .kernel)
        m.refuses(.ENOENT, .notMapped, "Nothing is mapped there.")
        m.refuses(.ENOENT, .wouldSplitMapping, "The range would cut a mapping; nothing is unmapped.")
        return { call, service in
            let session = try service.client(call).session
            let answer = try session.context.beginUnmap(ioas: call[ioas], iova: call[iova], length: call[length])
            return service.reply(call, session, answer, unmapped) { $0.set($1, $2) }
        }
    }
}

private func declareIOASCopy(_ methods: inout MethodTable<Service>) {
    methods.declare("ioas.copy", "Map what another IOAS (or the same) maps.", changesState: true) { m in
        let source = m.param("src_ioas", .id, "Where it is mapped.")
        let sourceIOVA = m.param("src_iova", .address, "First byte there.")
        let length = m.param("length", .address, "Bytes.")
        let destination = m.param("dst_ioas", .id, "Where to map it.")
        let fixed = m.optional("dst_iova", .address, "Where in it; chosen in the allowed ranges if absent.")
        let access = m.param("access", .access, default: .readWrite, "What devices may do; both if absent.")
        let iova = m.result("iova", .hex, "Where it is mapped.")
        m.refuses(.copying, .kernel)
        return { call, service in
            let session = try service.client(call).session
            let answer = try session.context.beginCopy(
                from: call[source], iova: call[sourceIOVA], length: call[length], to: call[destination],
                iova: call[fixed], access: call[access].access
            )
            return service.reply(call, session, answer, iova) { $0.set($1, $2) }
        }
    }
}
