import IOMMU
import JSONRPC

private struct StallFields {
    let stall: Field<Count>
    let streamID: Field<Count>
    let tag: Field<Count>
    let pasid: Field<Count>
    let iova: Field<Hex>
    let access: Field<String>
    let privileged: Field<Bool>

    static var type: ResultType<ObjectOf<StallFields>> {
        .object { stall in
            StallFields(
                stall: stall.result("stall", .count, "What events call it."),
                streamID: stall.result("stream_id", .count, "The StreamID."),
                tag: stall.result("tag", .count, "What the guest calls it (STAG)."),
                pasid: stall.optionalResult("pasid", .count, "The SubstreamID."),
                iova: stall.result("iova", .hex, "The address."),
                access: stall.result("access", .choice(["read", "write", "execute"]), "What it does."),
                privileged: stall.result("privileged", .bool, "Whether it is privileged.")
            )
        }
    }
}

extension ResultWriter {
    fileprivate func write(_ stall: BareStall, _ fields: StallFields) {
        set(fields.stall, stall.id)
        set(fields.streamID, stall.transaction.streamID)
        set(fields.tag, UInt64(stall.tag))
        if let pasid = stall.transaction.pasid { set(fields.pasid, pasid) }
        set(fields.iova, stall.transaction.address)
        set(fields.access, stall.transaction.access.name)
        set(fields.privileged, stall.transaction.privileged)
    }
}

/// What waits for the guest of a bare SMMU: stalled transactions and pages that devices ask for.
func declareVSMMUWaitingMethods(_ methods: inout MethodTable<Service>) {
    declareStalls(&methods)
    declarePageRequests(&methods)
}

private func declareStalls(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.stalls", "The transactions that wait for the guest, oldest first.") { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let stalls = m.result("stalls", .array(of: StallFields.type), "Those that vsmmu_resume has not named yet.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU)
        return { call, service in
            var open = try service.bareSMMUs(call).stalls(of: call[vsmmu]).makeIterator()
            return call.reply(stalls) { list in
                guard let stall = open.next() else { return false }
                list.append { $0.write(stall, $1) }
                return true
            }
        }
    }
}

private func declarePageRequests(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "vsmmu.page_request", "A device asks for a page (ATS PRI): a record for the PRI queue.", changesState: true
    ) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let streamID = m.param("stream_id", .count(), "The StreamID.")
        let pasid = m.optional("pasid", .count(0...0xf_ffff), "The SubstreamID, 20 bits; absent: none.")
        let iova = m.param("iova", .address, "In the page.")
        let access = m.param("access", .choice(AccessChoice.self), default: .read, "What it wants to do there.")
        let privileged = m.param("privileged", .bool, default: false, "Whether it is privileged; with `pasid` only.")
        let group = m.param("group", .count(0...0x1ff), "The page request group.")
        let last = m.param("last", .bool, default: true, "Whether it is the last of its group, which is answered.")
        let outcome = m.result(
            "outcome", .choice(["queued", "answered", "discarded"]),
            "Queued: vsmmu_pri_response answers. Answered: the SMMU does so itself. Discarded: nobody does.")
        let code = m.optionalResult("code", .choice(["success", "invalid", "failure"]), "The SMMU's own answer.")
        let substreamID = m.optionalResult("substream_id", .count, "That the answer has.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .stopping)
        return { call, service in
            let (id, smmus) = (call[vsmmu], try service.bareSMMUs(call))
            let request = BarePageRequest(
                TransactionRequest(
                    streamID: call[streamID], pasid: call[pasid], address: call[iova], access: call[access].kind,
                    privileged: call[privileged]), group: UInt16(truncatingIfNeeded: call[group]), isLast: call[last])
            var found = BarePageOutcome.discarded
            return try service.work(.translating, on: id, smmus, for: call) { (smmus, _) throws(IOMMUError) in
                found = try smmus.requestPage(id, request)
                return true
            } write: { reply in
                reply.set(outcome, found.name)
                guard case .answered(let response) = found else { return }
                reply.set(code, response.code)
                if let substream = response.substreamID { reply.set(substreamID, substream) }
            }
        }
    }
}

extension BarePageOutcome {
    fileprivate var name: String {
        switch self {
        case .queued: "queued"
        case .answered: "answered"
        case .discarded: "discarded"
        }
    }
}
