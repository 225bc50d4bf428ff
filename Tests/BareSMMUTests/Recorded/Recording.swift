import Foundation
import TestSupport

/// Files of what Linux's driver did on QEMU, see `Tests/Fixtures/oracles`.
enum Recording {
    typealias Object = [String: Any]

    static func json(_ name: String) throws -> Object {
        let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Fixtures/oracles/\(name).json")
        guard let json = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? Object else {
            throw Unexpected("\(name) is no object")
        }
        return json
    }

    static func objects(_ value: Any?) -> [Object] { value as? [Object] ?? [] }

    /// "0x12" or "12", both hexadecimal.
    static func number(_ value: Any?) -> UInt64 {
        guard let text = value as? String else { return 0 }
        return UInt64(text.hasPrefix("0x") ? String(text.dropFirst(2)) : text, radix: 16) ?? 0
    }

    /// "3 1" or ["0x3", "0x1"]
    static func command(_ value: Any) -> RecordedCommand {
        let words = (value as? String)?.split(separator: " ").map(String.init) ?? value as? [String] ?? []
        return RecordedCommand(words: (number(words.first), number(words.last)))
    }

    /// Little-endian words at physical addresses; what is not there is zero.
    static func memory(_ json: Object, _ index: Int) -> [UInt64: UInt64] {
        let pages = objects(json["pages"])
        let maps = objects(json["mems"])
        var words: [UInt64: UInt64] = [:]
        for (page, number) in maps[index] {
            for (offset, bytes) in pages[number as? Int ?? 0] {
                let digits = Array((bytes as? String ?? "").utf8)
                for start in stride(from: 0, to: digits.count, by: 16) {
                    let word = digits[start..<min(start + 16, digits.count)]
                    let value = UInt64(String(decoding: word, as: UTF8.self), radix: 16) ?? 0
                    let address = self.number(page) + self.number(offset) + UInt64(start / 2)
                    words[address] = value.byteSwapped >> (UInt64(16 - word.count) * 4)
                }
            }
        }
        return words
    }
}
