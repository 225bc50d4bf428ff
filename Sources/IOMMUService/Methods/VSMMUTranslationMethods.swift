import IOMMU
import JSONRPC
import LinuxIO

extension TransactionKind: ParameterChoice {}

private let kindText = "How ATS takes part: translation_request is a question, translated an access at its answer."

private struct TransactionParameters {
    let streamID: Param<UInt32>
    let pasid: Param<UInt32?>
    let iova: Param<UInt64>
    let access: Param<AccessChoice>
    let privileged: Param<Bool>
    let kind: Param<TransactionKind>

    static var type: ParamType<Object<TransactionParameters>> {
        .object { transaction in
            TransactionParameters(
                streamID: transaction.param("stream_id", .count(), "The StreamID."),
                pasid: transaction.optional("pasid", .count(0...0xf_ffff), "The SubstreamID, 20 bits; absent: none."),
                iova: transaction.param("iova", .address, "The address."),
                access: transaction.param("access", .choice(AccessChoice.self), default: .read, "What it does."),
                privileged: transaction.param("privileged", .bool, default: false, "Whether it is privileged."),
                kind: transaction.param("kind", .choice(TransactionKind.self), default: .untranslated, kindText)
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
        let kind = m.param("kind", .choice(TransactionKind.self), default: .untranslated, kindText)
        let trace = m.param("trace", .bool, default: false, "Whether to show each step of the walk.")
        let fields = VirtualTranslationFields(m)
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .stopping)
        return { call, service in
            let transaction = TransactionRequest(
                streamID: call[streamID], pasid: call[pasid], address: call[iova], access: call[access].kind,
                privileged: call[privileged], kind: call[kind])
            let (id, wantsSteps, smmus) = (call[vsmmu], call[trace], try service.bareSMMUs(call))
            let result = try smmus.translateVSMMU(id, transaction, trace: wantsSteps)
            guard smmus.hasNotices else { return call.reply { $0.write(result, fields, steps: wantsSteps) } }
            return try service.work(.translating, on: id, smmus, for: call) { (_, _) throws(IOMMUError) in
                true
            } write: {
                $0.write(result, fields, steps: wantsSteps)
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
            "results", .array(of: .object { VirtualTranslationFields($0) }), "As of vsmmu.translate, in the same order."
        )
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .sessionEnds, .stopping)
        return { call, service in
            let transactions = call[requests].map { request in
                TransactionRequest(
                    streamID: request[request.fields.streamID], pasid: request[request.fields.pasid],
                    address: request[request.fields.iova], access: request[request.fields.access].kind,
                    privileged: request[request.fields.privileged], kind: request[request.fields.kind])
            }
            let (id, smmus) = (call[vsmmu], try service.bareSMMUs(call))
            let row = TransactionRow(id, transactions, subscribers: service.events.subscribers)
            var written = 0
            let answer = LateReply(results) { list in
                guard written < row.results.count else { return false }
                list.append { $0.write(row.results[written], $1) }
                written += 1
                return true
            }
            return try service.work(
                .translating, on: id, smmus, for: call, answer: answer
            ) { (smmus, budget) throws(IOMMUError) in
                try row.goOn(smmus, &budget)
            }
        }
    }
}

/// The transactions of one call, and what has come of them so far.
private final class TransactionRow {
    private let vsmmu: ObjectID
    private let transactions: [TransactionRequest]
    private(set) var results: [TranslationResult] = []
    /// Translated between two looks at the budget, of some microseconds each, and more where many are told of faults.
    private let atOnce: Int
    private static let (mostAtOnce, subscribersOfOne) = (16, 64)

    init(_ vsmmu: ObjectID, _ transactions: [TransactionRequest], subscribers: Int) {
        self.vsmmu = vsmmu
        atOnce = max(1, Self.mostAtOnce / (1 + subscribers / Self.subscribersOfOne))
        self.transactions = transactions
        results.reserveCapacity(transactions.count)
    }

    /// Stops where the client has to be told something.
    ///
    /// - Returns: whether those were the last.
    func goOn(_ smmus: any BareSMMUs, _ budget: inout TurnBudget) throws(IOMMUError) -> Bool {
        repeat {
            let next = transactions[results.count..<min(results.count + atOnce, transactions.count)]
            results += try smmus.translateVSMMU(vsmmu, many: Array(next))
            if results.count == transactions.count { return true }
        } while !smmus.hasNotices && !budget.isSpent(after: 4 * Self.mostAtOnce)
        return false
    }
}
