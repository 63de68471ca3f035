package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"path/filepath"
	"strings"
)

// mutant is the code with one change.
type mutant struct {
	file, where string // where: the line
	function    string
	from, to    string // the expression
	text        []byte // of the file
}

// name is the change as people and the page of survivors call it. It has no line, which moves.
func (m mutant) name(dir string) string {
	return fmt.Sprintf("%s.%s: %s becomes %s", filepath.Base(dir), m.function, m.from, m.to)
}

// other has what an operator becomes: its neighbour, which is the mistake that people make.
var other = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD: token.SUB, token.SUB: token.ADD,
}

// mutate lists the changes of a file: each operator becomes its neighbour, each condition its
// opposite, true false, and each call that stands alone goes.
func mutate(fset *token.FileSet, file *ast.File, name string, text []byte) (mutants []mutant) {
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		change := func(node ast.Node, from, to int, with string) {
			expression := text[offset(node.Pos()):offset(node.End())]
			changed := bytes.Join([][]byte{expression[:from-offset(node.Pos())], []byte(with), expression[to-offset(node.Pos()):]}, nil)
			mutants = append(mutants, mutant{
				file: name, where: fmt.Sprintf("%s:%d", filepath.Base(name), fset.Position(node.Pos()).Line), function: functionName(f),
				from: short(expression), to: short(changed),
				text: bytes.Join([][]byte{text[:from], []byte(with), text[to:]}, nil),
			})
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if to, ok := other[n.Op]; ok && !isText(n) {
					change(n, offset(n.OpPos), offset(n.OpPos)+len(n.Op.String()), to.String())
				}
			case *ast.IfStmt:
				if _, binary := n.Cond.(*ast.BinaryExpr); !binary {
					change(n.Cond, offset(n.Cond.Pos()), offset(n.Cond.End()), "!("+string(text[offset(n.Cond.Pos()):offset(n.Cond.End())])+")")
				}
			case *ast.Ident:
				if opposite := map[string]string{"true": "false", "false": "true"}[n.Name]; opposite != "" {
					change(n, offset(n.Pos()), offset(n.End()), opposite)
				}
			case *ast.ExprStmt:
				change(n, offset(n.Pos()), offset(n.End()), "_ = 0")
			}
			return true
		})
	}
	return mutants
}

// isText reports whether + joins texts: messages are for people to judge.
func isText(n *ast.BinaryExpr) bool {
	if n.Op != token.ADD {
		return false
	}
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		found = found || ok && lit.Kind == token.STRING
		return true
	})
	return found
}

func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	return of.(*ast.Ident).Name + "." + f.Name.Name
}

// short is an expression on one line.
func short(text []byte) string {
	const most = 90
	line := strings.ReplaceAll(strings.Join(strings.Fields(string(text)), " "), "`", "'")
	if len(line) > most {
		line = line[:most] + "..."
	}
	return line
}
