/// Names work at the end of a loop's turns.
public struct TurnEndID: Equatable, Sendable {
    let number: Int
}
