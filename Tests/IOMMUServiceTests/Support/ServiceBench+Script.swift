import JSONRPC
import Testing

extension ServiceBench {
    /// Runs a script on a client, one of its own if none is given: requests, one a line, and after `>` such as have to
    /// be refused, with the errno and the reason behind them.
    func run(
        _ script: String, on client: PlayedClient? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let client = try client ?? connect()
        for line in script.split(separator: "\n") where !line.hasPrefix("#") {
            let isRefused = line.hasPrefix(">")
            let words = line.drop { $0 == ">" || $0 == " " }
            let method = words.prefix { $0 != " " }
            let end = words.lastIndex(of: "}") ?? words.endIndex
            let params = words[method.endIndex...end].drop { $0 == " " }
            let expected = words[words.index(after: end)...].split(separator: " ")
            let reply = try client.answer(String(method), String(params)) ?? client.receive()
            let error = reply["error"]
            guard isRefused else {
                #expect(error == nil, "\(line): \(reply.text)", sourceLocation: sourceLocation)
                continue
            }
            try #require(expected.count == 2, "\(line)")
            #expect(
                error?["data"]?["errno"]?.stringValue == String(expected[0])
                    && error?["data"]?["reason"]?.stringValue == String(expected[1]),
                "\(line): \(reply.text)", sourceLocation: sourceLocation)
        }
    }
}
