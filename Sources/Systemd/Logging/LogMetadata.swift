import Logging

/// Metadata of a handler, its provider and one event, in the order of their precedence.
enum LogMetadata {
    /// All of it, sorted by key; the event's own wins over the provider's, that over the handler's.
    static func merged(
        _ handler: Logger.Metadata, _ provider: Logger.MetadataProvider?, _ event: Logger.Metadata?
    ) -> [(key: String, value: Logger.MetadataValue)] {
        var all = handler
        if let provider { all.merge(provider.get()) { _, new in new } }
        if let event { all.merge(event) { _, new in new } }
        return all.sorted { $0.key < $1.key }
    }
}
