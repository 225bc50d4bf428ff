import IOMMU
import JSONRPC

/// What became of an access: as of `smmu.translate`, or `stalled` with what it stalled for.
struct VirtualTranslationFields {
    let translation: TranslationFields
    let stalled: Field<ObjectOf<StalledFields>>

    init(_ method: some ResultDeclaring) {
        translation = TranslationFields(method)
        stalled = method.optionalResult(
            "stalled", StalledFields.type, "It waits for the guest, and `event` is why: vsmmu_resume says what then.")
    }
}

struct StalledFields {
    let stall: Field<Count>
    let tag: Field<Count>

    static var type: ResultType<ObjectOf<StalledFields>> {
        .object {
            StalledFields(
                stall: $0.result("stall", .count, "What events and vsmmu.stalls call it."),
                tag: $0.result("tag", .count, "What the guest calls it (STAG)."))
        }
    }
}

extension ResultWriter {
    @inline(__always)
    func write(_ result: TranslationResult, _ fields: VirtualTranslationFields, steps: Bool = false) {
        write(result, fields.translation)
        if case .stalled(let stall, let fault) = result.outcome {
            set(fields.stalled) { stalled, names in
                stalled.set(names.stall, stall)
                stalled.set(names.tag, UInt64(fault.stallTag ?? 0))
            }
        }
        if steps { write(result.steps, fields.translation) }
    }
}
