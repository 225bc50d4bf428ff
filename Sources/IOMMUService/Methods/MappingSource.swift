import IOMMU
import JSONRPC

/// `memory` with `offset`, or `mm` with `va`: what a mapping has behind it.
struct MappingSource {
    /// Where the two ways begin in the parameters of a call or an element of it.
    struct Values {
        var memory: UInt32?
        var offset: UInt64?
        var mm: UInt32?
        var va: UInt64?
    }

    static let memoryDoc = "The memory object."
    static let offsetDoc = "First byte of it; 0 if absent."
    static let mmDoc = "Instead: an address space of a process (`mm.open`), whose pages are used as it has them."
    static let vaDoc = "First byte of it, with `mm`."
    static let mistakeDoc = "Not exactly one of `memory` and `mm` is given, `mm` without `va`, or one's with the other."

    /// What is to be mapped.
    ///
    /// - Throws: a mistake in the parameters; `ENOENT` for ids that nothing has.
    static func request(
        _ values: Values, length: UInt64, iova: UInt64?, access: Access
    ) throws -> MapRequest {
        guard let mm = values.mm else {
            guard let memory = values.memory else { throw mistake("memory", "is missing, and so is mm") }
            guard values.va == nil else { throw mistake("va", "is given without mm") }
            guard memory <= MapRequest.largestID else {
                throw IOMMUError.unknown(.unknownMemory, "memory object", memory, key: "memory")
            }
            return MapRequest(
                memory: memory, offset: values.offset ?? 0, length: length, iova: iova, access: access)
        }
        guard values.memory == nil else { throw mistake("mm", "is given together with memory") }
        guard values.offset == nil else { throw mistake("offset", "is given together with mm") }
        guard let va = values.va else { throw mistake("va", "is missing, and mm needs it") }
        guard mm <= MapRequest.largestID else { throw IOMMUError.unknown(.unknownMM, "mm", mm, key: "mm") }
        return MapRequest(mm: mm, va: va, length: length, iova: iova, access: access)
    }

    private static func mistake(_ parameter: String, _ what: String) -> RPCError {
        StreamParameters.mistake(parameter, what, remedy: "give memory and perhaps offset, or mm and va")
    }
}
