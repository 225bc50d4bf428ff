import TestSupport
import Testing

@testable import JSONRPC

/// Requests spoiled at random: never a crash, never a reply that is no JSON, and never a difference made by how the
/// bytes arrive or how often a batch has to wait.
@Suite struct DispatcherFuzzTests {
    private static let templates = [
        #"{"jsonrpc":"2.0","id":1,"method":"ioas.map","params":{"ioas":1,"iova":"0x1000","length":4096,"#
            + #""access":["read"]}}"#,
        #"{"jsonrpc":"2.0","id":"\u0061","method":"note","params":{"text":"x\ty\u00e9\ud83d\ude00"}}"#,
        #"{"jsonrpc":"2.0","id":null,"method":"sum","params":{"pairs":[{"direction":"write","value":"0xff"},"#
            + #"{"value":7,"direction":"re\u0061d"}],"words":[[1,"0x2"],["0x3",4]]}}"#,
        #"{"jsonrpc":"2.0","id":-1.5e3,"method":"fd.echo","params":{"count":0}}"#,
        #"{"jsonrpc":"2.0","method":"note","params":{"text":"quiet"}}"#, #"{"jsonrpc":"2.0","id":1,"method":"nope"}"#,
        #"{"jsonrpc":"2.0","id":1,"method":"change.mind"}"#, #"{"jsonrpc":"2.0","id":1,"method":"admin"}"#, "[]", "7",
        "",
    ]
    private static let palette: [UInt8] =
        Array("{}[]:,\"\\/-.0123456789abcdefxu \t\r\n".utf8) + [0, 0x1f, 0x80, 0xc3, 0xff]

    private var random: SeededGenerator
    private let bench = Workbench()

    init() { random = SeededGenerator(seed: 20_261_121) }

    private mutating func line() -> [UInt8] {
        let template = { (random: inout SeededGenerator) in
            Array(Self.templates[random.next(below: Self.templates.count)].utf8)
        }
        var bytes = template(&random)
        if random.next(below: 3) == 0 {
            bytes = [UInt8(ascii: "[")]
            for index in 0...random.next(below: 6) {
                if index > 0 { bytes += Array([",", " , ", ",\t"][random.next(below: 3)].utf8) }
                bytes += template(&random)
            }
            bytes.append(UInt8(ascii: "]"))
        }
        guard random.next(below: 3) > 0, !bytes.isEmpty else { return bytes }
        for _ in 0...random.next(below: 3) {
            let place = random.next(below: bytes.count)
            switch random.next(below: 4) {
            case 0: bytes[place] = Self.palette[random.next(below: Self.palette.count)]
            case 1: bytes.insert(Self.palette[random.next(below: Self.palette.count)], at: place)
            case 2: bytes.swapAt(place, random.next(below: bytes.count))
            default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 5)], at: place)
            }
        }
        return bytes
    }

    /// The output for a text that arrives in the given pieces.
    private func output(_ pieces: [[UInt8]], limits: Limits) -> [UInt8] {
        let dispatcher = Dispatcher(workbenchMethods(), context: bench, limits: limits)
        let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil, limits: limits)
        var output: [UInt8] = []
        var rest: [UInt8] = []
        for piece in pieces {
            rest += piece
            var before = -1
            // With a low mark only a little is carried out at a time.
            while rest.count != before || connection.batch != nil {
                before = rest.count
                rest = dispatcher.consume(rest, from: connection)
                output += connection.takeOutput()
            }
        }
        #expect(rest.isEmpty)
        return output
    }

    @Test mutating func answersAnythingInJSONAndTheSameHoweverItArrives() throws {
        var patient = Limits()
        patient.outputHighWater = 1
        for _ in 0..<400 {
            var text: [UInt8] = []
            for _ in 0..<20 { text += line() + [UInt8(ascii: "\n")] }
            var pieces: [[UInt8]] = []
            var start = 0
            while start < text.count {
                let end = min(text.count, start + 1 + random.next(below: 200))
                pieces.append(Array(text[start..<end]))
                start = end
            }
            let whole = output([text], limits: Limits())
            #expect(output(pieces, limits: Limits()) == whole)
            #expect(output(pieces, limits: patient) == whole)
            let lines = whole.split(separator: UInt8(ascii: "\n"))
            #expect(lines.count <= text.count { $0 == UInt8(ascii: "\n") })
            for line in lines { try check(JSONValue(parsing: Array(line))) }
        }
    }

    /// A response object of JSON-RPC 2.0, or an array of some.
    private func check(_ reply: JSONValue) throws {
        if let replies = reply.arrayValue {
            #expect(!replies.isEmpty)
            for reply in replies { try check(reply) }
            return
        }
        #expect(reply["jsonrpc"] == .string("2.0"))
        #expect(reply["id"] != nil)
        #expect((reply["result"] == nil) != (reply["error"] == nil))
        guard let error = reply["error"] else { return }
        let data = try #require(error["data"])
        #expect(error["code"]?.intValue != nil)
        #expect(error["message"]?.stringValue?.isEmpty == false)
        #expect(data["errno"]?.stringValue?.hasPrefix("E") == true)
        #expect(data["reason"]?.stringValue?.isEmpty == false)
        #expect(data["method"] != nil)
        #expect(data["reason"] != .string("reply_mismatch"))
    }
}
