/// Walks for other modules, which need no places for them.
extension AreaMap {
    /// The first area that ends at or after `address`.
    package func area(endingAtOrAfter address: UInt64) -> Area? {
        guard let position = first(endingAtOrAfter: address) else { return nil }
        return position.area
    }

    /// Where the last of `count` areas ends, beginning with the first that ends at or after `address`; nil: there are
    /// not so many.
    package func end(ofAreas count: Int, from address: UInt64) -> UInt64? {
        guard var position = first(endingAtOrAfter: address) else { return nil }
        for _ in 1..<max(count, 1) {
            guard let next = position.next else { return nil }
            position = next
        }
        return position.last
    }
}
