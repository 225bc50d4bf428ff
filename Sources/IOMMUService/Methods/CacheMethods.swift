import IOMMU
import JSONRPC

private struct StatisticsFields {
    let hits: Field<Count>
    let misses: Field<Count>
    let evictions: Field<Count>
    let invalidations: Field<Count>

    static var type: ResultType<ObjectOf<StatisticsFields>> {
        .object { statistics in
            StatisticsFields(
                hits: statistics.result("hits", .count, "Look-ups that found an entry."),
                misses: statistics.result("misses", .count, "Look-ups that found none."),
                evictions: statistics.result("evictions", .count, "Entries that made room for others."),
                invalidations: statistics.result("invalidations", .count, "Entries removed one by one.")
            )
        }
    }
}

private struct EntryFields {
    let stage: Field<Count>
    let vmid: Field<Count>
    let asid: Field<Count>
    let input: Field<Hex>
    let output: Field<Hex>
    let size: Field<Hex>
    let attributes: Field<ObjectOf<AttributeFields>>
    let isClean: Field<Bool>

    static var type: ResultType<ObjectOf<EntryFields>> {
        .object { entry in
            EntryFields(
                stage: entry.result("stage", .count, "1: stage 1 or nested; 2."),
                vmid: entry.optionalResult("vmid", .count, "Of which VM."),
                asid: entry.optionalResult("asid", .count, "Of which address space; absent: global, or stage 2."),
                input: entry.result("input", .hex, "First input byte."),
                output: entry.result("output", .hex, "First output byte."), size: entry.result("size", .hex, "Bytes."),
                attributes: entry.result("attributes", AttributeFields.type, "What unprivileged accesses may."),
                isClean: entry.result("writable_clean", .bool, "A write has to mark the page dirty first.")
            )
        }
    }
}

private struct ContextFields {
    let streamID: Field<Count>
    let substreamID: Field<Count>

    static var type: ResultType<ObjectOf<ContextFields>> {
        .object { context in
            ContextFields(
                streamID: context.result("stream_id", .count, "The stream."),
                substreamID: context.result("substream_id", .count, "The index of the CD.")
            )
        }
    }
}

/// `smmu.cache`
func declareCacheMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("smmu.cache", "What the TLB and the configuration cache of an SMMU hold.") { m in
        let target = SMMUParameters(m)
        let limit = m.param("limit", .count(0...65_536), default: 1000, "Translations shown at most.")
        let tlb = m.result("tlb", StatisticsFields.type, "How the TLB did.")
        let ste = m.result("ste_cache", StatisticsFields.type, "How the STE cache did.")
        let cd = m.result("cd_cache", StatisticsFields.type, "How the CD cache did.")
        let translations = m.result("translations", .array(of: EntryFields.type), "In the TLB. Others' are left out.")
        let streams = m.result("streams", .array(of: .count), "StreamIDs whose STE is cached.")
        let contexts = m.result("contexts", .array(of: ContextFields.type), "Whose CD is cached.")
        m.refuses(.noView)
        return { call, service in
            let client = try service.client(call)
            let (inspection, name) = try target.visibleTarget(call, service)
            let view = try inspection.caches(
                smmu: name, limit: Int(call[limit]), scope: service.inspectionScope(client))
            return call.reply { reply in
                reply.set(tlb) { $0.write(view.tlb, $1) }
                reply.set(ste) { $0.write(view.streamTable, $1) }
                reply.set(cd) { $0.write(view.contextDescriptors, $1) }
                reply.set(translations) { list in
                    for entry in view.translations { list.append { $0.write(entry, $1) } }
                }
                reply.set(streams) { list in for streamID in view.streamIDs { list.append(streamID) } }
                reply.set(contexts) { list in
                    for context in view.contexts {
                        list.append { object, fields in
                            object.set(fields.streamID, context.streamID)
                            object.set(fields.substreamID, context.index)
                        }
                    }
                }
            }
        }
    }
}

extension ResultWriter {
    fileprivate func write(_ statistics: CacheDescription.Figures, _ fields: StatisticsFields) {
        set(fields.hits, statistics.hits)
        set(fields.misses, statistics.misses)
        set(fields.evictions, statistics.evictions)
        set(fields.invalidations, statistics.invalidations)
    }

    fileprivate func write(_ entry: CacheDescription.Entry, _ fields: EntryFields) {
        set(fields.stage, entry.stage)
        if let vmid = entry.vmid { set(fields.vmid, UInt64(vmid)) }
        if let asid = entry.asid { set(fields.asid, UInt64(asid)) }
        set(fields.input, entry.input)
        set(fields.output, entry.output)
        set(fields.size, entry.size)
        set(fields.attributes) { $0.write(entry.attributes, $1) }
        set(fields.isClean, entry.isWritableClean)
    }
}
