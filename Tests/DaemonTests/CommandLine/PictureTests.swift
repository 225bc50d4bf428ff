import Foundation
import JSONRPC
import TestSupport
import Testing

/// The pictures in Documentation/pictures, made of the laboratory: IOMMUD_WRITE_PICTURES=1 writes them.
struct PictureTests {
    private let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    private static let words: [(file: String, words: [String])] = [
        ("topology", ["topology"]), ("objects", ["objects", "vm1"]),
        ("walk", ["translate", "--session", "vm1", "0000:01:00.0", "0x10"]),
        ("fault", ["translate", "--session", "vm2", "0000:05:00.0", "0x90123"]),
    ]

    /// A guest with an SMMU of its own, and a driver with a device.
    private func populate() throws -> [RPCClient] {
        let client = try daemon.connect()
        _ = try client.call("session.attach", #"{"name":"vm1"}"#)
        try NestedGuest(client).attach()
        let other = try daemon.connect()
        _ = try other.call("session.attach", #"{"name":"vm2"}"#)
        _ = try other.call("memory.create", #"{"size":1048576,"name":"buffers"}"#)
        _ = try other.call("ioas.alloc", "{}")
        _ = try other.call("ioas.map", #"{"ioas":1,"memory":1,"length":65536,"iova":"0x10000"}"#)
        _ = try other.call("device.bind", #"{"name":"0000:05:00.0"}"#)
        _ = try other.call("device.attach", #"{"device":2,"pt":1}"#)
        return [client, other]
    }

    private func picture(_ words: [String], _ kind: String = "--svg") throws -> String {
        let done = try CommandLineRun(daemon, words + [kind])
        try #require(done.status == 0, "\(done.text)")
        return done.text
    }

    @Test func thoseOfTheDocumentationAreInStep() throws {
        let clients = try populate()
        for (file, words) in Self.words {
            let path = "\(BuiltProgram.packageRoot)/Documentation/pictures/\(file).svg"
            let made = try picture(words)
            if ProcessInfo.processInfo.environment["IOMMUD_WRITE_PICTURES"] != nil {
                try made.write(toFile: path, atomically: false, encoding: .utf8)
            }
            let kept = try? String(contentsOfFile: path, encoding: .utf8)
            #expect(kept == made, "\(file).svg is another; IOMMUD_WRITE_PICTURES=1 writes it")
        }
        #expect(clients.count == 2)
    }

    @Test func noTextLiesOnAnotherOrOutside() throws {
        let clients = try populate()
        for (file, words) in Self.words {
            let svg = try picture(words)
            let size = try #require(Box.whole(svg))
            #expect(size.right <= 1280, "\(file) is \(size.right) wide")
            let texts = Box.texts(in: svg)
            #expect(texts.count > 10)
            for (index, box) in texts.enumerated() {
                #expect(box.left >= 0 && box.top >= 0 && box.right <= size.right && box.bottom <= size.bottom)
                for other in texts[..<index] where box.overlaps(other) {
                    Issue.record("\(file): “\(box.text)” lies on “\(other.text)”")
                }
                // Text that begins in a box ends in it.
                for frame in Box.rectangles(in: svg) where frame.contains(box.left, box.top) {
                    #expect(box.right <= frame.right && box.bottom <= frame.bottom, "\(file): “\(box.text)”")
                }
            }
        }
        #expect(clients.count == 2)
    }

    @Test func graphsAreWholeToo() throws {
        let clients = try populate()
        let dot = try picture(["objects", "vm1"], "--dot")
        #expect(dot.hasPrefix("digraph \"Objects of session vm1\" {") && dot.hasSuffix("}\n"))
        #expect(dot.contains(" -> ") && dot.contains("viommu"))
        #expect(try picture(["topology"], "--dot").contains("subgraph cluster0"))
        #expect(try CommandLineRun(daemon, ["topology", "--dot", "--svg"]).status == 2)
        #expect(clients.count == 2)
    }
}

/// A rectangle of a picture.
private struct Box {
    let left: Double
    let top: Double
    let right: Double
    let bottom: Double
    var text = ""

    func overlaps(_ other: Box) -> Bool {
        left < other.right && other.left < right && top < other.bottom && other.top < bottom
    }

    func contains(_ x: Double, _ y: Double) -> Bool { left <= x && x < right && top <= y && y < bottom }

    /// What the picture takes.
    static func whole(_ svg: String) -> Box? {
        guard let values = try? /<svg [^>]* width="([\d.]+)" height="([\d.]+)"/.firstMatch(in: svg)?.output,
            let width = Double(values.1), let height = Double(values.2)
        else { return nil }
        return Box(left: 0, top: 0, right: width, bottom: height)
    }

    /// Where texts stand: they are as long as they say, and as high as letters are.
    static func texts(in svg: String) -> [Box] {
        svg.matches(
            of: /<text x="([\d.]+)" y="([\d.]+)" font-size="([\d.]+)"[^>]* textLength="([\d.]+)"[^>]*>([^<]*)</
        ).compactMap { match in
            guard let x = Double(match.1), let y = Double(match.2), let size = Double(match.3),
                let length = Double(match.4)
            else { return nil }
            return Box(
                left: x, top: y - 0.8 * size, right: x + length, bottom: y + 0.2 * size, text: String(match.5))
        }
    }

    static func rectangles(in svg: String) -> [Box] {
        svg.matches(of: /<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/).compactMap { match in
            guard let x = Double(match.1), let y = Double(match.2), let width = Double(match.3),
                let height = Double(match.4)
            else { return nil }
            return Box(left: x, top: y, right: x + width, bottom: y + height)
        }
    }
}
