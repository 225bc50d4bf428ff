import JSONRPC

/// How a call is answered with a result, at once or after it has waited.
struct LateReply {
    let now: (Call) -> Outcome
    let later: (ParkedCall) -> Void

    init(_ write: @escaping (ResultWriter) -> Void) {
        now = { $0.reply(write) }
        later = { $0.reply(write) }
    }

    /// With a list that may be long, see `Call.reply(_:inPieces:then:)`.
    init<Element>(_ field: Field<ListOf<Element>>, inPieces next: @escaping (ListWriter<Element>) -> Bool) {
        now = { $0.reply(field, inPieces: next) }
        later = { $0.reply(field, inPieces: next) }
    }
}
