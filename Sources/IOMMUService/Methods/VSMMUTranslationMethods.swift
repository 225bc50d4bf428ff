import IOMMU
import JSONRPC

private struct TransactionParameters {
    let streamID: Param<UInt32>
    let pasid: Param<UInt32?>
    let iova: Param<UInt64>
    let access: Param<AccessChoice>
    let privileged: Param<Bool>

    static var type: ParamType<Object<TransactionParameters>> {
        .object { transaction in
            TransactionParameters(
                streamID: transaction.param("stream_id", .count(), "The StreamID."),
                pasid: transaction.optional("pasid", .count(0...0xf_ffff), "The SubstreamID, 20 bits; absent: none."),
                iova: transaction.param("iova", .address, "The address."),
                access: transaction.param("access", .choice(AccessChoice.self), default: .read, "What it does."),
                privileged: transaction.param("privileged", .bool, default: false, "Whether it is privileged.")
            )
        }
    }
}

/// `vsmmu.translate*`: what a device sees of a bare SMMU.
func declareVSMMUTranslationMethods(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "vsmmu.translate", "Let a device access an address: caches fill, events are recorded.", changesState: true
    ) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let streamID = m.param("stream_id", .count(), "The StreamID.")
        let pasid = m.optional("pasid", .count(0...0xf_ffff), "The SubstreamID, 20 bits; absent: none.")
        let iova = m.param("iova", .address, "The address.")
        let access = m.param("access", .choice(AccessChoice.self), default: .read, "What it does.")
        let privileged = m.param("privileged", .bool, default: false, "Whether it is privileged.")
        let trace = m.param("trace", .bool, default: false, "Whether to show each step of the walk.")
        let fields = TranslationFields(m)
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU)
        return { call, service in
            let transaction = TransactionRequest(
                streamID: call[streamID], pasid: call[pasid], address: call[iova], access: call[access].kind,
                privileged: call[privileged])
            let wantsSteps = call[trace]
            let result = try service.bareSMMUs(call).translateVSMMU(
                call[vsmmu], transaction, trace: wantsSteps)
            return call.reply { reply in
                reply.write(result, fields)
                if wantsSteps { reply.write(result.steps, fields) }
            }
        }
    }

    declareVSMMUTranslateMany(&methods)
}

private func declareVSMMUTranslateMany(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.translate_many", "Many accesses, in order.", changesState: true) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let requests = m.param("requests", .array(of: TransactionParameters.type, count: 0...10_000), "The accesses.")
        let results = m.result(
            "results", .array(of: .object { TranslationFields($0) }), "As of vsmmu.translate, in the same order.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .sessionEnds, .stopping)
        return { call, service in
            let transactions = call[requests].map { request in
                TransactionRequest(
                    streamID: request[request.fields.streamID], pasid: request[request.fields.pasid],
                    address: request[request.fields.iova], access: request[request.fields.access].kind,
                    privileged: request[request.fields.privileged])
            }
            let smmus = try service.bareSMMUs(call)
            return try service.translate(transactions, of: call[vsmmu], smmus, for: call) { reply, found in
                reply.set(results) { list in
                    for result in found { list.append { $0.write(result, $1) } }
                }
            }
        }
    }
}
