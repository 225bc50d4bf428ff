/// How figures are written for Prometheus and its kin.
package enum ExpositionFormat: Sendable, Equatable, CaseIterable {
    /// Prometheus' text format, version 0.0.4.
    case text
    /// OpenMetrics 1.0.0. It names the family of a counter without `_total`, so that no page can be right for both.
    case openMetrics

    var mediaType: String {
        switch self {
        case .text: "text/plain"
        case .openMetrics: "application/openmetrics-text"
        }
    }

    var version: String {
        switch self {
        case .text: "0.0.4"
        case .openMetrics: "1.0.0"
        }
    }

    /// The value of the header `Content-Type`.
    package var contentType: String { "\(mediaType); version=\(version); charset=utf-8" }

    /// What a client likes best (RFC 9110, 12.5.1); text where it does not care, and where it wants neither.
    ///
    /// - Parameter accept: the values of its `Accept` headers.
    package static func preferred(accept: [String]) -> ExpositionFormat {
        let ranges = accept.flatMap { $0.split(separator: ",") }.compactMap { MediaRange(String($0)) }
        let wish = openMetrics.quality(among: ranges)
        return wish > text.quality(among: ranges) ? .openMetrics : .text
    }

    /// The weight of the most specific range that includes the format.
    private func quality(among ranges: [MediaRange]) -> Double {
        ranges.map { (specificity: $0.specificity(for: self), quality: $0.quality) }
            .filter { $0.specificity > 0 }
            .max { ($0.specificity, $0.quality) < ($1.specificity, $1.quality) }?.quality ?? 0
    }
}

/// One element of an `Accept` header.
private struct MediaRange {
    private let type: String
    private var version: String?
    private(set) var quality = 1.0

    /// `nil` for what is none: it is as if it were not there.
    init?(_ text: String) {
        var parts = text.split(separator: ";", omittingEmptySubsequences: false).map { $0.trimmed.lowercased() }
        type = parts.removeFirst()
        guard type.contains("/" as Character) else { return nil }
        for part in parts {
            guard let equals = part.firstIndex(of: "=") else { continue }
            let value = part[part.index(after: equals)...].trimmed
            switch part[..<equals].trimmed {
            case "version": version = value
            case "q":
                guard let number = Double(value), (0...1).contains(number) else { return nil }
                quality = number
            // The character set and the escaping of names that our names do not need.
            default: break
            }
        }
    }

    /// 0 where the range does not include the format.
    func specificity(for format: ExpositionFormat) -> Int {
        if type == "*/*" { return 1 }
        if type.hasSuffix("/*") { return format.mediaType.hasPrefix(type.dropLast()) ? 2 : 0 }
        guard type == format.mediaType else { return 0 }
        guard let version else { return 3 }
        return version == format.version ? 4 : 0
    }
}

extension StringProtocol {
    /// Without the blanks, and then the quotes, around it.
    fileprivate var trimmed: String {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        let text = drop(while: isBlank).reversed().drop(while: isBlank).reversed()
        guard text.count > 1, text.first == "\"", text.last == "\"" else { return String(text) }
        return String(text.dropFirst().dropLast())
    }
}
