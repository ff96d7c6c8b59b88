"""SQLAlchemy stores, joins and rolls back in an SQLite file."""

from lib.outcome import run_check


def check() -> dict[str, object]:
    from sqlalchemy import ForeignKey, create_engine, func, select
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

    # SQLAlchemy evaluates these annotations: no 'from __future__ import annotations' in this file.
    class Base(DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        books = relationship("Book")

    class Book(Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))

    engine = create_engine("sqlite:///books.db")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Author(name="Lem", books=[Book(title="Solaris"), Book(title="Eden")]))
        session.commit()
        session.add(Author(name="nobody"))
        session.flush()
        session.rollback()
        query = select(Author.name, func.count(Book.id)).join(Book).group_by(Author.name)
        rows = [tuple(row) for row in session.execute(query)]
        authors = session.scalar(select(func.count(Author.id)))
    if rows != [("Lem", 2)]:
        raise AssertionError(f"rows {rows}")
    if authors != 1:
        raise AssertionError(f"{authors} authors after the rollback")
    return {"rows": rows}


if __name__ == "__main__":
    run_check(__file__, check)
