import Foundation
import Testing

@testable import JSONRPC

/// The reader against Foundation's, on seeded documents: both accept or both refuse, and agree on every value.
///
/// Allowed to differ, each with its reason:
/// - **Duplicate keys.** RFC 8259 leaves them open; Foundation keeps one, this reader hands over all.
/// - **Lone surrogates** (`"\ud800"`). RFC 8259 leaves them open; this reader refuses them.
/// - **Encodings.** Foundation guesses UTF-16 and UTF-32 from NULs and byte order marks; here a text is UTF-8.
/// - **Depth.** 64 levels here, 512 there.
/// - **Numbers** beyond a double (`1e999`), which Foundation refuses; RFC 8259 leaves the range open and an integer
///   parameter refuses them here.
/// - **Rounding.** Foundation reads fractions through `Decimal` and is some ulps off; here `strtod` rounds correctly.
/// - **A trailing comma** (`[1,]`, `{"a":1,}`), which Foundation accepts against RFC 8259; it is refused here.
@Suite struct JSONParserFuzzTests {
    static let documentsPerSeed = 25_000

    @Test(arguments: UInt64(1)...8)
    func agreesWithFoundation(seed: UInt64) {
        var generator = DocumentGenerator(seed: seed)
        var accepted = 0
        for _ in 0..<Self.documentsPerSeed {
            let document = generator.next()
            let ours = try? JSONValue(parsing: document)
            let theirs = try? JSONSerialization.jsonObject(with: Data(document), options: .fragmentsAllowed)
            if ours != nil { accepted += 1 }
            guard !agree(ours, theirs), !mayDiffer(document, ours, theirs) else { continue }
            Issue.record("\(String(decoding: document, as: UTF8.self)) \(document): \(String(describing: ours))")
        }
        // A generator of mere noise would prove little.
        #expect(accepted > Self.documentsPerSeed / 2)
        #expect(accepted < Self.documentsPerSeed * 9 / 10)
    }

    private func agree(_ ours: JSONValue?, _ theirs: Any?) -> Bool {
        guard let ours, let theirs else { return ours == nil && theirs == nil }
        return equal(ours, theirs)
    }

    private func equal(_ ours: JSONValue, _ theirs: Any) -> Bool {
        switch ours {
        case .null: return theirs is NSNull
        case .bool(let value): return (theirs as? NSNumber)?.boolValue == value
        case .integer(let value): return (theirs as? NSNumber)?.int64Value == Int64(value)
        case .unsigned(let value): return (theirs as? NSNumber)?.uint64Value == value
        case .number(let value): return (theirs as? NSNumber).map { isClose(value, $0.doubleValue) } ?? false
        case .string(let value): return theirs as? String == value
        case .array(let elements):
            guard let other = theirs as? [Any], other.count == elements.count else { return false }
            return zip(elements, other).allSatisfy { equal($0, $1) }
        case .object(let members):
            guard let other = theirs as? [String: Any], other.count == members.count else { return false }
            return members.allSatisfy { member in other[member.key].map { equal(member.value, $0) } ?? false }
        }
    }

    private func isClose(_ ours: Double, _ theirs: Double) -> Bool {
        ours == theirs || abs(ours - theirs) <= 1e-14 * max(abs(ours), abs(theirs))
    }

    private func mayDiffer(_ document: [UInt8], _ ours: JSONValue?, _ theirs: Any?) -> Bool {
        if let ours { return hasDuplicateKeys(ours) || hasHugeNumber(ours) }
        do {
            _ = try JSONValue(parsing: document)
            return false
        } catch {
            if error.problem == .loneSurrogate || error.problem == .tooDeep { return true }
            return differsByTrailingComma(document, at: error.offset)
        }
    }

    /// Whether a comma before the bracket at `offset` is all that the two disagree about.
    private func differsByTrailingComma(_ document: [UInt8], at offset: Int) -> Bool {
        guard offset < document.count, [UInt8(ascii: "]"), UInt8(ascii: "}")].contains(document[offset]),
            let last = document[..<offset].lastIndex(where: { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }),
            document[last] == UInt8(ascii: ",")
        else { return false }
        var repaired = document
        repaired[last] = UInt8(ascii: " ")
        let ours = try? JSONValue(parsing: repaired)
        let theirs = try? JSONSerialization.jsonObject(with: Data(repaired), options: .fragmentsAllowed)
        return agree(ours, theirs) || mayDiffer(repaired, ours, theirs)
    }

    private func hasDuplicateKeys(_ value: JSONValue) -> Bool {
        switch value {
        case .array(let elements): elements.contains(where: hasDuplicateKeys)
        case .object(let members):
            Set(members.map(\.key)).count < members.count || members.contains { hasDuplicateKeys($0.value) }
        default: false
        }
    }

    private func hasHugeNumber(_ value: JSONValue) -> Bool {
        switch value {
        case .number(let number): !number.isFinite
        case .array(let elements): elements.contains(where: hasHugeNumber)
        case .object(let members): members.contains { hasHugeNumber($0.value) }
        default: false
        }
    }
}
