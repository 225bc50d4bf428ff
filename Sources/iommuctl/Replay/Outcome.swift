import JSONRPC

/// The end of a transaction, without what the architecture leaves open: the low bits of an IPA, and which word of an
/// F_CD_FETCH record holds FetchAddr.
struct Outcome: Equatable {
    /// `ok`, `bypass`, `abort` (no event), `silent` (another end without an event), or the event.
    private var kind: String
    /// Where the access went, if it went anywhere.
    private var address: UInt64 = 0
    /// The four words of the record, none if nothing was recorded.
    private var record: [UInt64] = []

    /// What a recording says.
    init(recorded result: JSONValue) {
        switch result["type"]?.stringValue {
        case "fault":
            let records = result["records"]?.arrayValue ?? []
            let event = result["event"]?.stringValue ?? ""
            let prefix = "SMMU_EVT_"
            self.init(event: event.hasPrefix(prefix) ? String(event.dropFirst(prefix.count)) : event, records.first)
        case "bypass":
            self.init(kind: "bypass")
        case let type:
            self.init(kind: type ?? "nothing", address: result["pa"]?.unsignedValue ?? 0)
        }
    }

    /// What `vsmmu.translate` answered.
    init(answer: JSONValue) {
        if let event = answer["event"], event != .null {
            self.init(event: event["type"]?.stringValue ?? "", event["record"])
        } else if let reason = answer["terminated"]?.stringValue {
            // A recording does not tell why a transaction ended without an event.
            let isAbort = ["ste_abort", "gbpa_abort"].contains(reason)
            self.init(kind: isAbort ? "abort" : reason == "smmu_disabled" ? "disabled" : "silent")
        } else if answer["page_size"]?.unsignedValue == 0 {
            self.init(kind: "bypass")
        } else {
            self.init(kind: "ok", address: answer["pa"]?.unsignedValue ?? 0)
        }
    }

    private init(kind: String, address: UInt64 = 0) {
        self.kind = kind
        self.address = address
    }

    private init(event: String, _ words: JSONValue?) {
        let words = (words?.arrayValue ?? []).compactMap(\.unsignedValue)
        guard words.count == 4 else {
            kind = "silent"
            return
        }
        kind = event
        let isFetch = event == "F_CD_FETCH"
        record = [words[0], words[1], isFetch ? 0 : words[2], isFetch ? words[2] | words[3] : words[3] & ~0xfff]
    }

    var description: String {
        if !record.isEmpty {
            return kind + " [" + record.map { "0x" + String($0, radix: 16) }.joined(separator: " ") + "]"
        }
        return kind == "ok" ? "ok, at 0x" + String(address, radix: 16) : kind
    }
}
