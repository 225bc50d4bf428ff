/// What exists in a context, described one by one: which objects there are is as it was when the listing was made,
/// what is said of each as it is when it is asked for.
///
/// A listing of many objects costs next to nothing until then.
package struct ObjectListing: Sequence, IteratorProtocol {
    private typealias Part = (count: Int, describe: (Int) -> ObjectDescription?)

    private var parts: ArraySlice<Part>
    private var index = 0

    /// - Parameters:
    ///   - count: places that are looked at.
    ///   - describe: what is at a place, from 0; nil: nothing.
    package init(count: Int, describe: @escaping (Int) -> ObjectDescription?) {
        parts = [(count, describe)]
    }

    /// These.
    package init(_ described: [ObjectDescription] = []) {
        self.init(count: described.count) { described[$0] }
    }

    /// One after the other.
    package static func + (first: ObjectListing, second: ObjectListing) -> ObjectListing {
        var both = first
        both.parts += second.parts
        return both
    }

    /// The next object.
    package mutating func next() -> ObjectDescription? {
        while let part = parts.first {
            while index < part.count {
                index += 1
                if let description = part.describe(index - 1) { return description }
            }
            parts = parts.dropFirst()
            index = 0
        }
        return nil
    }
}
