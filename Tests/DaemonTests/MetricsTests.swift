import Foundation
import JSONRPC
import Testing

/// The metrics over HTTP, as `curl --unix-socket` and scrapers see them.
struct MetricsTests {
    private let daemon: RunningDaemon
    private let directory: String
    private let path: String

    init() throws {
        directory = try RunningDaemon.makeDirectory()
        path = directory + "/metrics.sock"
        daemon = try RunningDaemon(configuration: "[daemon]\nmetrics = \"\(path)\"\n")
    }

    /// What a connection answers to bytes, up to its end.
    private func answer(_ request: String) throws -> String {
        let client = try RPCClient(path: path, timeoutMilliseconds: 20_000)
        try client.send(bytes: Array(request.utf8))
        return try rest(of: client)
    }

    private func rest(of client: RPCClient) throws -> String {
        var text = ""
        while let line = try client.receiveLine() { text += String(decoding: line, as: UTF8.self) + "\n" }
        return text
    }

    private func body(_ answer: String) -> String {
        answer.range(of: "\r\n\r\n").map { String(answer[$0.upperBound...]) } ?? ""
    }

    @Test(arguments: ["\r\n", "\n"])
    func aPageInTheFormatThatIsAskedFor(end: String) throws {
        let text = try answer("GET /metrics HTTP/1.1\(end)Host: x\(end)\(end)")
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(text.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
        #expect(text.contains("# TYPE iommud_connections_accepted_total counter\n"))
        let accept = "Accept: application/openmetrics-text; version=1.0.0, text/plain;q=0.4"
        let open = try answer("GET /metrics HTTP/1.1\(end)\(accept)\(end)\(end)")
        #expect(open.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"))
        #expect(open.contains("# TYPE iommud_connections_accepted counter\n"))
        #expect(open.hasSuffix("# EOF\n"))
    }

    @Test func headGetsTheHeadersOfGet() throws {
        let get = try answer("GET /metrics HTTP/1.1\r\n\r\n")
        let head = try answer("HEAD /metrics HTTP/1.1\r\n\r\n")
        #expect(head.hasSuffix("\r\n\r\n"))
        // The page goes on changing, and its length with it.
        let headers = { (text: String) in
            text.components(separatedBy: "\r\n\r\n")[0].components(separatedBy: "\r\n")
                .map { $0.hasPrefix("Content-Length: ") ? "Content-Length" : $0 }
        }
        #expect(headers(head) == headers(get))
        #expect(get.contains("Content-Length: \(body(get).utf8.count)\r\n"))
    }

    @Test func otherMethodsAndPathsGetAnAnswer() throws {
        let posted = try answer(
            "POST /metrics HTTP/1.1\nContent-Length: 100000\n\n" + String(repeating: "x", count: 100_000))
        #expect(posted.hasPrefix("HTTP/1.1 405 Method Not Allowed\r\n"))
        #expect(posted.contains("\r\nAllow: GET, HEAD\r\n"))
        #expect(try answer("GET /metric HTTP/1.1\r\n\r\n").hasPrefix("HTTP/1.1 404 Not Found\r\n"))
        #expect(try answer("nonsense\n\n").hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
        let long = "GET /metrics HTTP/1.1\r\nX: " + String(repeating: "y", count: 20_000)
        #expect(try answer(long).hasPrefix("HTTP/1.1 431 "))
    }

    /// More of them than connections are kept, each of which could be silent for seconds.
    @Test(arguments: [8, 100])
    func silentConnectionsDoNotDelayAScrape(count: Int) throws {
        let silent = try (0..<count).map { _ in try RPCClient(path: path, timeoutMilliseconds: 20_000) }
        let began = ContinuousClock.now
        #expect(try answer("GET /metrics HTTP/1.1\r\n\r\n").hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(ContinuousClock.now - began < .seconds(2))
        // None stays for ever.
        for client in silent { #expect(try rest(of: client).isEmpty) }
    }

    @Test func aScraperThatIsNotReadyYetKeepsItsPlace() throws {
        let slow = try RPCClient(path: path, timeoutMilliseconds: 20_000)
        try slow.send(bytes: Array("GET /metrics HTTP/1.1\r\nHost: ".utf8))
        for _ in 0..<20 { _ = try answer("GET /metrics HTTP/1.1\r\n\r\n") }
        try slow.send(bytes: Array("x\r\n\r\n".utf8))
        #expect(try rest(of: slow).hasPrefix("HTTP/1.1 200 OK\r\n"))
    }

    @Test func theFiguresAreThoseOfDaemonStats() throws {
        let client = try daemon.connect()
        try client.call("ioas.alloc", "{}")
        let page = body(try answer("GET /metrics HTTP/1.1\r\n\r\n"))
        let stats = try client.call("daemon.stats")
        let changing: Set = ["uptime_seconds"]
        for (kind, key) in [("counter", "counters"), ("gauge", "gauges")] {
            let figures = try #require(stats[key]?.objectValue)
            #expect(!figures.isEmpty)
            for figure in figures {
                let name = "iommud_" + figure.key
                #expect(page.contains("# TYPE \(name) \(kind)\n"))
                #expect(figure.key.hasSuffix("_total") == (kind == "counter"), "\(figure.key)")
                guard !changing.contains(figure.key) else { continue }
                #expect(page.contains("\n\(name) \(figure.value.text)\n"), "\(name) \(figure.value.text)")
            }
        }
        let counters = Set(stats["counters"]?.objectValue?.map(\.key) ?? []).union(["requests_total", "errors_total"])
        for gauge in stats["gauges"]?.objectValue ?? [] { #expect(!counters.contains(gauge.key + "_total")) }
        #expect(page.contains("iommud_requests_total{method=\"ioas.alloc\"} 1\n"))
        #expect(stats["requests"]?["ioas.alloc"]?.intValue == 1)
    }

    @Test func scrapesLeaveNoDescriptorBehind() throws {
        _ = try answer("GET /metrics HTTP/1.1\r\n\r\n")
        let watcher = try daemon.connect()
        _ = try watcher.call("daemon.info")
        let before = daemon.process.descriptorCount
        for _ in 0..<50 { _ = try answer("POST / HTTP/1.0\n\nbody") }
        for _ in 0..<1000 where daemon.process.descriptorCount != before { _ = try watcher.call("daemon.info") }
        #expect(daemon.process.descriptorCount == before)
    }
}
