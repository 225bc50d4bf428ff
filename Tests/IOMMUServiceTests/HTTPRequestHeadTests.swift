import IOMMUService
import Testing

struct HTTPRequestHeadTests {
    private func read(_ text: String) -> HTTPRequestHead.Reading { HTTPRequestHead.read(Array(text.utf8)) }

    private func head(_ text: String) throws -> HTTPRequestHead {
        guard case .complete(let head) = read(text) else { throw Unread(text: text) }
        return head
    }

    private struct Unread: Error {
        let text: String
    }

    @Test(arguments: ["\r\n", "\n"])
    func eitherLineEndIsRead(end: String) throws {
        let lines = ["GET /metrics?x=1 HTTP/1.1", "Host: iommud", "ACCEPT: text/plain", "accept:a/b", "", "body"]
        let head = try head(lines.joined(separator: end))
        #expect(head.method == "GET")
        #expect(head.path == "/metrics")
        #expect(head.accept == [" text/plain", "a/b"])
    }

    @Test func aHeadEndsWithItsEmptyLine() {
        let text = "HEAD / HTTP/1.0\r\nHost: x\r\n\r\n"
        for count in 0..<text.utf8.count {
            #expect(HTTPRequestHead.read(Array(text.utf8.prefix(count))) == .incomplete, "\(count) bytes")
        }
        #expect(read("\r\n\n" + text) == read(text))
        #expect(read(text) != .incomplete)
    }

    @Test(arguments: [
        ("http://iommud/metrics", "/metrics"), ("HTTP://x:80/a/b?c#d", "/a/b"), ("http://iommud", "/"), ("*", "*"),
    ])
    func theTargetMayBeAbsolute(target: String, path: String) throws {
        #expect(try head("GET \(target) HTTP/1.1\n\n").path == path)
    }

    @Test(arguments: [
        "GET\n\n", "GET /\n\n", "GET / HTTP/2.0\n\n", " / HTTP/1.1\n\n", "GET  / HTTP/1.1\n\n", "GET x HTTP/1.1\n\n",
        "GET / HTTP/1.1\nHost\n\n", "GET / HTTP/1.1\n:x\n\n",
    ])
    func whatIsNoHTTPIsSaidToBeNone(text: String) { #expect(read(text) == .malformed) }

    @Test func bytesThatAreNoTextAreMalformed() {
        #expect(HTTPRequestHead.read([0xff, 0xfe, 0x0a, 0x0a]) == .malformed)
    }
}
