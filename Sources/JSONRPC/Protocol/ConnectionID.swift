/// Names one connection of one server for good: the index is reused, the pair is not.
public struct ConnectionID: Hashable, Sendable {
    /// Small and dense: usable as an array index by who keeps something for each connection.
    public let index: UInt32
    /// Distinguishes successive connections with the same index.
    public let generation: UInt32

    /// A name.
    public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}
