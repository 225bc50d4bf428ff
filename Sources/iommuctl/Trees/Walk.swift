import JSONRPC
import SMMUv3

/// How an access went through the SMMU: what `smmu.translate` told of it with `trace`, put in order.
struct Walk {
    /// One descriptor that was read.
    struct Step {
        let stage: Int
        let level: Int
        let table: UInt64
        let index: UInt64
        let descriptor: UInt64
        /// Where the intermediate address of this descriptor led, at stage 2.
        var resolution: Resolution?

        /// Where the descriptor lies.
        var address: UInt64 { table &+ 8 &* index }
    }

    /// A walk of stage 2 for one address.
    struct Resolution {
        /// nil: it is not known.
        let IPA: UInt64?
        let steps: [Step]
    }

    /// What the access was.
    let title: String
    /// Words and fields of the STE and the CD, where they could be read.
    let ste: JSONValue?
    let cd: JSONValue?
    /// The walk of stage 1, each descriptor with the walk of stage 2 that found it.
    private(set) var steps: [Step] = []
    /// The last walk of stage 2, of the address that stage 1 put out or of the access itself.
    private(set) var last: Resolution?
    /// The whole answer.
    let result: JSONValue

    /// The kind of the event; nil: there is none.
    var event: JSONValue? { result["event"].flatMap { $0 == .null ? nil : $0 } }
    var eventType: String { event?["type"]?.stringValue ?? result["terminated"]?.stringValue ?? "" }
    /// What the end means here, and what to do about it, where the daemon says so.
    var meaning: String? { (event ?? result)["meaning"]?.stringValue }
    var hint: String? { (event ?? result)["hint"]?.stringValue }
    var hasFailed: Bool { result["pa"] == nil }

    init(title: String, iova: UInt64, ste: JSONValue?, cd: JSONValue?, result: JSONValue) {
        self.title = title
        self.ste = ste
        self.cd = cd
        self.result = result
        // Where the next descriptor of stage 1 lies, as stage 1 sees it.
        var table = cd?["fields"]?["TTB0"]?.unsignedValue
        var waiting: [Step] = []
        let granule = Granule(cd?["fields"]?["TG0"]?.unsignedValue ?? 0)
        for step in (result["steps"]?.arrayValue ?? []).compactMap(Step.init) {
            if step.stage == 2 {
                // A walk that begins anew is of another address.
                if let before = waiting.last, step.level <= before.level { waiting = [] }
                waiting.append(step)
                continue
            }
            var step = step
            if !waiting.isEmpty {
                step.resolution = Resolution(IPA: table.map { $0 &+ 8 &* step.index }, steps: waiting)
                waiting = []
            }
            table = granule.output(step.descriptor)
            steps.append(step)
        }
        guard !waiting.isEmpty else { return }
        let output = steps.last.map { granule.leaf($0.descriptor, level: $0.level, iova) }
        let isTable = steps.last.map { PageDescription($0).kind == .table } ?? false
        // What a fault says is sure: it may have been the CD that was looked for.
        let IPA = result["event"]?["ipa"]?.unsignedValue ?? (isTable ? nil : output ?? iova)
        last = Resolution(IPA: IPA, steps: waiting)
    }

    /// What the descriptors of stage 1 say about addresses.
    private struct Granule {
        let bits: UInt64

        /// - Parameter code: TG0.
        init(_ code: UInt64) { bits = code == 1 ? 16 : code == 2 ? 14 : 12 }

        func output(_ descriptor: UInt64) -> UInt64 { Self.aligned(descriptor & 0x0000_ffff_ffff_ffff, bits) }

        private static func aligned(_ address: UInt64, _ bits: UInt64) -> UInt64 { address & ~((1 << bits) - 1) }

        /// What an address becomes behind a page or block.
        func leaf(_ descriptor: UInt64, level: Int, _ iova: UInt64) -> UInt64 {
            let size = bits + UInt64(max(0, 3 - level)) * (bits - 3)
            guard size < 48 else { return output(descriptor) }
            return Self.aligned(output(descriptor), size) | iova & ((1 << size) - 1)
        }
    }
}

extension Walk.Step {
    init?(_ value: JSONValue) {
        guard let stage = value["stage"]?.intValue, let level = value["level"]?.intValue,
            let table = value["table"]?.unsignedValue, let index = value["index"]?.unsignedValue,
            let descriptor = value["descriptor"]?.unsignedValue
        else { return nil }
        self.init(stage: stage, level: level, table: table, index: index, descriptor: descriptor)
    }
}

/// A descriptor in words.
struct PageDescription {
    enum Kind: String { case invalid, table, block, page }

    let kind: Kind
    /// Where it leads.
    let address: UInt64
    /// What it permits and how, in the architecture's abbreviations.
    let attributes: [String]
    /// What is seldom asked for.
    let details: [String]

    init(_ step: Walk.Step) {
        let word = step.descriptor
        let isTableOrPage = word & PageDescriptor.tableOrPage != 0
        kind =
            word & PageDescriptor.valid == 0 || (step.level == 3 && !isTableOrPage)
            ? .invalid : !isTableOrPage ? .block : step.level == 3 ? .page : .table
        address = word & 0x0000_ffff_ffff_f000
        let isLeaf = kind == .block || kind == .page
        attributes =
            kind == .table
            ? Self.table(word) : isLeaf ? (step.stage == 1 ? Self.stage1(word) : Self.stage2(word)) : []
        details = isLeaf ? [step.stage == 1 ? "attr \(word >> 2 & 7)" : "memattr \(Hex.text(word >> 2 & 0xf))"] : []
    }

    private static func table(_ word: UInt64) -> [String] {
        let names: [(UInt64, String)] = [
            (PageDescriptor.APTable1, "read-only below"), (PageDescriptor.APTable0, "privileged below"),
            (PageDescriptor.UXNTable, "XN below"), (PageDescriptor.PXNTable, "PXN below"),
        ]
        return names.filter { word & $0.0 != 0 }.map(\.1)
    }

    private static func stage1(_ word: UInt64) -> [String] {
        let isClean = word & PageDescriptor.AP2 != 0
        let isMarked = word & PageDescriptor.DBM != 0
        let access = isClean ? (isMarked ? "RW clean" : "RO") : isMarked ? "RW dirty" : "RW"
        var words = [access] + flag(word)
        if word & PageDescriptor.nG != 0 { words.append("nG") }
        if word & PageDescriptor.AP1 == 0 { words.append("privileged") }
        if word & PageDescriptor.UXN != 0 { words.append(word & PageDescriptor.PXN != 0 ? "XN" : "UXN") }
        return words + domain(word)
    }

    private static func stage2(_ word: UInt64) -> [String] {
        let read = word & PageDescriptor.S2AP0 != 0
        let write = word & PageDescriptor.S2AP1 != 0
        let isMarked = word & PageDescriptor.DBM != 0
        let access = read ? (write ? "RW" : isMarked ? "RW clean" : "RO") : write ? "WO" : "no access"
        return [access] + flag(word) + (word & PageDescriptor.UXN != 0 ? ["XN"] : []) + domain(word)
    }

    private static func flag(_ word: UInt64) -> [String] { [word & PageDescriptor.AF != 0 ? "AF" : "no AF"] }

    private static func domain(_ word: UInt64) -> [String] {
        [["non-shareable", "SH reserved", "outer", "inner"][Int(word >> 8 & 3)]]
            + (word & PageDescriptor.Contiguous != 0 ? ["contiguous"] : [])
    }

    /// `page 0x10000000000 RW AF nG inner`, `table → 0x10003a000`.
    var text: String { text(isFull: false) }

    /// - Parameter isFull: with all that it says.
    func text(isFull: Bool) -> String {
        let attributes = isFull ? attributes + details : attributes
        return switch kind {
        case .invalid: "invalid"
        case .table: (["table → \(Hex.text(address))"] + attributes).joined(separator: " ")
        default: (["\(kind.rawValue) → \(Hex.text(address))"] + attributes).joined(separator: " ")
        }
    }
}

/// Addresses as they are written everywhere.
enum Hex {
    static func text(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
