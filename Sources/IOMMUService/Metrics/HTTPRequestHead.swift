/// The part of an HTTP/1 request that says what is wanted: request line and headers.
package struct HTTPRequestHead: Equatable {
    package let method: String
    /// Of the target, without scheme, host and query.
    package let path: String
    /// The values of the `Accept` headers.
    package private(set) var accept: [String] = []

    /// What has been received of a head.
    package enum Reading: Equatable {
        /// More has to come.
        case incomplete
        /// This is no HTTP/1.
        case malformed
        case complete(HTTPRequestHead)
    }

    /// Reads the head at the start of what was received. Lines end with LF or CRLF (RFC 9112, 2.2).
    package static func read(_ bytes: [UInt8]) -> Reading {
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { $0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0 }
        // What comes behind the last line end is no whole line yet. Empty lines before the first are skipped.
        lines.removeLast()
        lines = Array(lines.drop { $0.isEmpty })
        guard let end = lines.firstIndex(where: { $0.isEmpty }) else { return .incomplete }
        let texts = lines[..<end].compactMap { String(validating: $0, as: UTF8.self) }
        guard texts.count == end, let first = texts.first, var head = HTTPRequestHead(requestLine: first) else {
            return .malformed
        }
        for text in texts.dropFirst() {
            guard let colon = text.firstIndex(of: ":"), colon > text.startIndex else { return .malformed }
            if text[..<colon].lowercased() == "accept" { head.accept.append(String(text[text.index(after: colon)...])) }
        }
        return .complete(head)
    }

    private init?(requestLine: String) {
        let parts = requestLine.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[2].hasPrefix("HTTP/1.") else { return nil }
        method = String(parts[0])
        guard let path = Self.path(of: parts[1]) else { return nil }
        self.path = path
    }

    private static func path(of target: Substring) -> String? {
        var target = target
        if target.lowercased().hasPrefix("http://") {
            target = target.dropFirst("http://".count)
            target = target.firstIndex(of: "/").map { target[$0...] } ?? "/"
        }
        guard target.first == "/" || target == "*" else { return nil }
        return String(target.prefix { $0 != "?" && $0 != "#" })
    }
}
