/// Why an operation is refused, as programs read it: `error.data.reason`.
///
/// A reason is a static member, which those who refuse and those who declare refusals both name; a slug never means two
/// things, and one refusal has one reason. Clients rely on slugs: a new one may come, one that is there never changes.
package struct Reason: Sendable, Hashable, CustomStringConvertible {
    /// snake_case.
    package let slug: String

    /// For the members of this type only.
    init(_ slug: String) { self.slug = slug }

    package var description: String { slug }
}
