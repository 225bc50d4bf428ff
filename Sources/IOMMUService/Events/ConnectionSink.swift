import IOMMU
import JSONRPC

/// Sends notices to a connection as JSON-RPC notifications.
final class ConnectionSink: NoticeSink {
    private weak var connection: Connection?

    init(_ connection: Connection) { self.connection = connection }

    func send(_ notice: Notice) -> Bool {
        connection?.notify { Self.write(notice, $0) } ?? false
    }

    func tell(_ notice: Notice) -> Bool {
        connection?.tell { Self.write(notice, $0) } ?? false
    }

    private static func write(_ notice: Notice, _ json: JSONWriter) {
        json.object { message in
            message.member("jsonrpc").string("2.0" as StaticString)
            message.member("method").string("event" as StaticString)
            message.member("params").object { write(notice, $0) }
        }
    }

    private static func write(_ notice: Notice, _ params: JSONObjectWriter) {
        switch notice {
        case .event(let event, let sequence):
            params.member("kind").string(event.kind.rawValue)
            params.member("sequence").integer(sequence)
            params.member("time").string(event.time)
            event.write(params)
        case .lost(let count, let sequence, let time):
            params.member("kind").string("lost" as StaticString)
            params.member("sequence").integer(sequence)
            params.member("time").string(time)
            params.member("count").integer(count)
        }
    }
}
