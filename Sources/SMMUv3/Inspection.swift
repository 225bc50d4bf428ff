/// What `translate` would have answered, without any side effect.
public struct Inspection: Equatable, Sendable {
    /// The answer; of a fault `recorded` says whether the event queue would have taken it.
    public var translation: Translation
    /// Whether the TLB would have answered.
    public var isCached: Bool
    /// The table accesses of a walk in order; empty unless a trace was asked for.
    public var steps: [WalkStep]

    /// - Parameters:
    ///   - translation: the answer.
    ///   - isCached: whether the TLB would have answered.
    ///   - steps: the walk.
    public init(translation: Translation, isCached: Bool, steps: [WalkStep] = []) {
        self.translation = translation
        self.isCached = isCached
        self.steps = steps
    }
}

/// One access to a translation table.
public struct WalkStep: Equatable, Sendable {
    /// 1 or 2.
    public var stage: Int
    /// -1...3 of the lookup.
    public var level: Int
    /// Physical byte address of the table.
    public var table: UInt64
    /// Index of the descriptor in the table.
    public var index: UInt64
    /// The descriptor that was read.
    public var descriptor: UInt64

    /// - Parameters:
    ///   - stage: translation stage.
    ///   - level: lookup level.
    ///   - table: physical byte address of the table.
    ///   - index: descriptor index.
    ///   - descriptor: the word read.
    public init(stage: Int, level: Int, table: UInt64, index: UInt64, descriptor: UInt64) {
        self.stage = stage
        self.level = level
        self.table = table
        self.index = index
        self.descriptor = descriptor
    }
}
