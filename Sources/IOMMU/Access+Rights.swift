/// Asked for every mapping; public, so that other modules can inline it.
extension Access {
    /// Whether ``Access/read`` is in it.
    @inlinable public var allowsReading: Bool { rawValue & 1 != 0 }
    /// Whether ``Access/write`` is in it.
    @inlinable public var allowsWriting: Bool { rawValue & 2 != 0 }
}
