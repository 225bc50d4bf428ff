import IOMMU
import JSONRPC

private struct MappingFields {
    let iova: Field<Hex>
    let length: Field<Hex>
    let memory: Field<Count>
    let offset: Field<Hex>
    let mm: Field<Count>
    let va: Field<Hex>
    let access: Field<FlagNames>

    static var type: ResultType<ObjectOf<MappingFields>> {
        .object { mapping in
            MappingFields(
                iova: mapping.result("iova", .hex, "First byte."),
                length: mapping.result("length", .hex, "Bytes."),
                memory: mapping.optionalResult("memory", .count, "The memory object."),
                offset: mapping.optionalResult("offset", .hex, "First byte of it."),
                mm: mapping.optionalResult("mm", .count, "Instead: the address space of a process."),
                va: mapping.optionalResult("va", .hex, "First byte of it, with `mm`."),
                access: mapping.result("access", .flags(["read", "write"]), "What devices may do.")
            )
        }
    }
}

/// The mappings of an IOAS, a few at a time. One that changes meanwhile is listed as each part is found; one that goes
/// ends the list, as if the limit had been reached.
private final class MappingPages {
    private let context: any IOMMUContext
    private let ioas: UInt32
    private var start: UInt64
    private var left: Int
    private(set) var mappings: [MappingDescription] = []
    /// Where more of them begin.
    private(set) var next: UInt64?
    private static let size = 64

    init(_ context: any IOMMUContext, ioas: UInt32, from start: UInt64, limit: Int) {
        self.context = context
        self.ioas = ioas
        self.start = start
        left = limit
    }

    func read() throws(IOMMUError) {
        let listed = try context.mappings(ioas: ioas, from: start, limit: min(left, Self.size))
        mappings = listed.mappings
        left -= listed.mappings.count
        next = listed.next
    }

    /// Reads the next few; false if there are none.
    func goOn() -> Bool {
        guard left > 0, let next else { return false }
        start = next
        do {
            try read()
            return true
        } catch {
            return false
        }
    }
}

/// `ioas.*` that shows and restricts address spaces.
func declareIOASInspectionMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("ioas.iova_ranges", "Where an IOAS has room for mappings.") { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let ranges = m.result("ranges", .array(of: RangeFields.type), "What its devices and allowed ranges leave.")
        let alignment = m.result("alignment", .count, "Bytes that addresses and lengths have to be multiples of.")
        m.refuses(.unknownIOAS, .kernel)
        return { call, service in
            let usable = try service.context(call).iovaRanges(ioas: call[ioas])
            return call.reply { reply in
                reply.set(ranges) { list in for range in usable.ranges { list.append(range) } }
                reply.set(alignment, usable.alignment)
            }
        }
    }

    methods.declare(
        "ioas.allow_iovas", "Restrict where IOVAs are chosen and what attaching may take.", changesState: true
    ) { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let ranges = m.param("ranges", .array(of: RangeParameters.type, count: 0...65_536), "Empty: everything again.")
        m.refuses(.unknownIOAS, .kernel, .room)
        m.refuses(.EINVAL, .badRange, "A range ends before it starts.")
        m.refuses(.EINVAL, .badAllowedRanges, "A range has a single byte, or two overlap.")
        m.refuses(.EADDRINUSE, .allowedRangeReserved, "A range meets a reserved region.")
        return { call, service in
            let allowed = try call[ranges].map { range in
                try orderedRange(range[range.fields.start], range[range.fields.last])
            }
            try service.context(call).allowIOVAs(ioas: call[ioas], ranges: allowed)
            return call.reply()
        }
    }

    declareMappingList(&methods)
    declareIOASOptions(&methods)
}

private func declareMappingList(_ methods: inout MethodTable<Service>) {
    methods.declare("ioas.mappings", "List the mappings of an IOAS in order.") { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let start = m.param("start", .address, default: 0, "Begin with the first mapping that ends here or later.")
        let limit = m.param("limit", .count(1...100_000), default: 1000, "At most so many.")
        let mappings = m.result("mappings", .array(of: MappingFields.type), "The mappings.")
        let next = m.optionalResult("next", .hex, "`start` of the call that goes on; absent at the end.")
        m.refuses(.unknownIOAS)
        return { call, service in
            let page = MappingPages(
                try service.context(call), ioas: call[ioas], from: call[start], limit: Int(call[limit]))
            try page.read()
            return call.reply(mappings) { list in
                for mapping in page.mappings { list.append { $0.write(mapping, $1) } }
                return page.goOn()
            } then: { reply in
                if let further = page.next { reply.set(next, further) }
            }
        }
    }
}

private func declareIOASOptions(_ methods: inout MethodTable<Service>) {
    methods.declare("ioas.set_option", "Set options of an IOAS.", changesState: true) { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let huge = m.param("huge_pages", .bool, "Whether tables may use blocks.")
        let result = m.result("huge_pages", .bool, "As it is now.")
        m.refuses(.unknownIOAS, .mappingMisaligned, .kernel)
        m.refuses(.EINVAL, .alreadyMapped, "Hardware tables hold mappings of it already.")
        return { call, service in
            let enabled = call[huge]
            try service.context(call).setHugePages(ioas: call[ioas], enabled)
            return call.reply { $0.set(result, enabled) }
        }
    }

    methods.declare("ioas.get_option", "Read options of an IOAS.") { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let result = m.result("huge_pages", .bool, "Whether tables may use blocks.")
        m.refuses(.unknownIOAS)
        return { call, service in
            let enabled = try service.context(call).hugePages(ioas: call[ioas])
            return call.reply { $0.set(result, enabled) }
        }
    }
}

extension ResultWriter {
    fileprivate func write(_ mapping: MappingDescription, _ fields: MappingFields) {
        set(fields.iova, mapping.iova)
        set(fields.length, mapping.length)
        if let mm = mapping.mm {
            set(fields.mm, mm)
            set(fields.va, mapping.offset)
        } else {
            set(fields.memory, mapping.memory)
            set(fields.offset, mapping.offset)
        }
        set(fields.access, bits: mapping.access.bits)
    }
}
