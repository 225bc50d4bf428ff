/// What one client may make the server hold.
public struct Limits: Sendable {
    /// Bytes in one line; a longer one is refused and the connection closed.
    public var messageBytes = 1 << 20
    /// Requests in one batch.
    public var batch = 10_000
    /// Descriptors received and not yet taken, per connection.
    public var waitingDescriptors = 16
    /// Descriptors replied and not yet sent, per connection.
    public var unsentDescriptors = 16
    /// Unsent bytes at which a connection is no longer read, until its client has taken them.
    public var outputHighWater = 256 << 10
    /// Bytes of notifications that wait for a slow client, beyond which they are lost (and counted).
    public var notificationBytes = 256 << 10
    /// Seconds without progress after which a client that does not read its replies is dropped.
    public var stalledClientSeconds = 30
    /// Connections at one time; more wait in the listen queue.
    public var connections = 1024

    /// The defaults.
    public init() {}
}
