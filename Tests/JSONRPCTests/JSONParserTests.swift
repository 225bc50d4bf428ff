import TestSupport
import Testing

@testable import JSONRPC

/// RFC 8259 to the letter: what must be accepted, what must be refused, and what values come out.
@Suite struct JSONParserTests {
    @Test(arguments: [
        "null", " true ", "false", "0", "-0", "1", "-1", "10", "0.0", "1.5e10", "1E+2", "1e-2", "-0.5E-0", "123456789",
        "\"\"", "\"a\"", "\"\\u0061\"", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\u{7f}\"", "\"\u{2028}\"", "\"\u{fffe}\"",
        "\"\\ud83d\\ude00\"", "\"\\uDBFF\\uDFFF\"", "\"\\u0000\"", "[]", "[ ]", "{}", "{ }", "[1]", "[1,2]", "[[]]",
        "[{}]",
        "{\"\":0}", "{\"a\":{\"b\":[null]}}", "{\"a\":1,\"a\":2}", "\t\r\n [\t1\r,\n2 ] \n", "[1e400]",
        "[18446744073709551616]", "\"é€😀\"",
    ])
    func accepts(text: String) throws { _ = try JSONValue(parsing: text) }

    @Test(arguments: [
        "", " ", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[,]", "[1,,2]", "[1 2]", "{\"a\"}", "{\"a\":}",
        "{\"a\":1,}", "{,}", "{a:1}", "{'a':1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "{1:1}", "{null:1}", "[}", "{]",
        "[1}",
        "{\"a\":1]", "nul", "nulll", "True", "NaN", "Infinity", "-Infinity", "+1", "-", "01", "-01", "00", "1.", ".5",
        "1.e5", "1e", "1e+", "1E-", "0x10", "1_000", "1 2", "--1", "-a", "1a", "\"", "\"a", "\"\\\"", "\"\\",
        "\"\\x41\"",
        "\"\\u\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"",
        "\"\\ud800x\"", "\"\u{1f}\"", "\"\n\"", "\"\t\"", "'a'", "[1] x", "{} {}", "\u{feff}1", "\u{a0}1", "/*a*/1",
        "1//a", "\"\\a\"", "[\"a\"", "\u{0c}1",
    ])
    func refuses(text: String) {
        #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: text) }
    }

    @Test(
        arguments: [
            [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc2], [0xc2, 0x41], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf],
            [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xe2, 0x82], [0xf0, 0x80, 0x80, 0x80], [0xf0, 0x8f, 0xbf, 0xbf],
            [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xff], [0xfe], [0xf0, 0x9f, 0x98],
            [0xf8, 0x88, 0x80, 0x80],
        ] as [[UInt8]])
    func refusesInvalidUTF8(sequence: [UInt8]) {
        for padding in 0..<9 {
            let inside = [UInt8](repeating: UInt8(ascii: "a"), count: padding)
            let text = [UInt8(ascii: "\"")] + inside + sequence + inside + [UInt8(ascii: "\"")]
            #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: text) }
        }
    }

    @Test func refusesANulAndABareByte() {
        #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: [0x31, 0]) }
        #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: [0x5b, 0, 0x5d]) }
        #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: [0x22, 0, 0x22]) }
        #expect(throws: JSONSyntaxError(problem: .invalidUTF8, offset: 1)) {
            try JSONValue(parsing: [0x5b, 0xff, 0x5d])
        }
    }

    @Test func findsSpecialBytesAtEveryPlaceInAWord() throws {
        for length in 0..<40 {
            for place in 0...length {
                var text = String(repeating: "x", count: length)
                let index = text.index(text.startIndex, offsetBy: place)
                text.insert(contentsOf: "\\n", at: index)
                let parsed = try JSONValue(parsing: "\"\(text)\"")
                #expect(parsed.stringValue == text.replacingEscapedNewline)
                let bare = text.replacingEscapedNewline
                #expect(throws: JSONSyntaxError(problem: .controlCharacter, offset: place + 1)) {
                    try JSONValue(parsing: "\"\(bare)\"")
                }
            }
        }
    }

    @Test func allows64LevelsOfNesting() throws {
        let deepest = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        _ = try JSONValue(parsing: deepest)
        #expect(throws: JSONSyntaxError(problem: .tooDeep, offset: 64)) { try JSONValue(parsing: "[\(deepest)]") }
        #expect(throws: JSONSyntaxError(problem: .tooDeep, offset: 64 * 5)) {
            try JSONValue(parsing: String(repeating: "{\"a\":", count: 100_000))
        }
    }

    @Test(
        arguments: [
            ("0", .integer(0)), ("-0", .integer(0)), ("9223372036854775807", .integer(.max)),
            ("-9223372036854775808", .integer(.min)), ("9223372036854775808", .unsigned(1 << 63)),
            ("18446744073709551615", .unsigned(.max)), ("18446744073709551616", .number(0x1p64)),
            ("-9223372036854775809", .number(-0x1p63)), ("1.0", .number(1)), ("1e3", .number(1000)),
        ] as [(String, JSONValue)])
    func keepsIntegersExact(text: String, value: JSONValue) throws {
        #expect(try JSONValue(parsing: text) == value)
    }

    @Test func writesBackWhatItReads() throws {
        let text = #"{"a":[1,-2,18446744073709551615,"\u0001\"\\\n\té😀",{}],"b":{"c":[]},"d":null,"e":true}"#
        #expect(try JSONValue(parsing: text).text == text)
    }
}

extension String {
    fileprivate var replacingEscapedNewline: String {
        split(separator: "\\n", maxSplits: 1, omittingEmptySubsequences: false).joined(separator: "\n")
    }
}

@Suite struct JSONIntegerTests {
    private func hexadecimal(_ text: [UInt8]) -> JSONInteger {
        (text + [UInt8](repeating: UInt8(ascii: "f"), count: ByteBuffer.slack)).withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { JSONInteger.hexadecimal($0, text.count) } ?? .malformed
        }
    }

    @Test func readsEveryLengthOfHexadecimal() {
        var random = SeededGenerator(seed: 7)
        for digits in 1...24 {
            for _ in 0..<200 {
                let value = random.next() >> UInt64(max(0, 64 - 4 * min(16, digits)))
                let hex = String(value, radix: 16, uppercase: random.next(below: 2) == 0)
                let text = "0x" + String(repeating: "0", count: max(0, digits - hex.utf8.count)) + hex
                #expect(hexadecimal(Array(text.utf8)) == .unsigned(value))
            }
        }
        #expect(hexadecimal(Array("0x10000000000000000".utf8)) == .tooLarge)
    }

    @Test func refusesEveryOtherByteAtEveryPlace() {
        let allowed = Set("0123456789abcdefABCDEF".utf8)
        for digits in [1, 7, 8, 9, 15, 16, 17] {
            for place in 0..<digits {
                for byte in UInt8.min ... .max {
                    var text = Array("0x".utf8) + [UInt8](repeating: UInt8(ascii: "0"), count: digits)
                    text[2 + place] = byte
                    if allowed.contains(byte) {
                        #expect(hexadecimal(text) != .malformed)
                    } else {
                        #expect(hexadecimal(text) == .malformed)
                    }
                }
            }
        }
    }
}
